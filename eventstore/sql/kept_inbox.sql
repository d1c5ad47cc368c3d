-- $1 project, $2 ids, $3 their outbox ids. With bytes, whatever came of them.
select i.id, i.outbox, i.type, i.headers, i.body
from unnest($2::text[], $3::bigint[]) as wanted(id, outbox)
join inbox i on i.project = $1 and i.id = wanted.id and i.outbox = wanted.outbox
