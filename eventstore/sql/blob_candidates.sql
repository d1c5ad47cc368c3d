-- $1, $2 after that project and sha256, $3 grace in seconds, $4 limit: blobs that nobody is known to name
select b.project, b.sha256, coalesce(b.size, octet_length(b.content)) as size
from blobs b
where (b.project, b.sha256) > ($1, $2::bytea) and b.touched_at < (select blob_cutoff($3))
  and not exists (select from blob_marks m where m.project = b.project and m.sha256 = b.sha256)
  and not exists (select from blob_names n where n.project = b.project and n.sha256 = b.sha256)
order by b.project, b.sha256 limit $4
