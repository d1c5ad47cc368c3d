-- $1 project, $2 sha256; body: names its chunks, null: its content is in its row
select project, sha256, coalesce(size, octet_length(content)) as size, touched_at,
       case when size is not null then body end as chunks
from blobs where project = $1 and sha256 = $2
