-- $1 project, $2 sha256, $3 the most bytes to give; without content: it has more
select size, case
    when size > $3::bigint then null
    when content is null then (select string_agg(c.bytes, ''::bytea order by c.n)
                               from blob_chunks c where c.body = b.body)
    else content end as content
from (select content, body, coalesce(size, octet_length(content)) as size
      from blobs where project = $1 and sha256 = $2) b
