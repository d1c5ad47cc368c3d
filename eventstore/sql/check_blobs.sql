-- $1, $2 after that project and sha256, $3 only of that project or null, $4 limit
-- found: the hash of the content; null for a blob in chunks, which has to be read
select project, sha256, sha256(content) as found
from blobs where (project, sha256) > ($1, $2::bytea) and ($3::text is null or project = $3)
order by project, sha256 limit $4
