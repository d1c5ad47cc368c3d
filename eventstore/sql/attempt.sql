-- $1 to $4 the suspects: partitions, projects, ids, outbox ids
insert into attempts as a (partition, project, id, outbox, count)
select partition, project, id, outbox, 1
from unnest($1::integer[], $2::text[], $3::text[], $4::bigint[]) as suspect(partition, project, id, outbox)
on conflict (partition, project, id, outbox) do update set count = a.count + 1
