-- $1, $2 after that project and sha256, $3 only of that project or null, $4 limit
select project, sha256, coalesce(size, octet_length(content)) as size, touched_at
from blobs where (project, sha256) > ($1, $2::bytea) and ($3::text is null or project = $3)
order by project, sha256 limit $4
