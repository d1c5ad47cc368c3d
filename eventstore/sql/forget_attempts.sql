-- $1 to $4 the suspects: partitions, projects, ids, outbox ids
delete from attempts a
using unnest($1::integer[], $2::text[], $3::text[], $4::bigint[]) as suspect(partition, project, id, outbox)
where a.partition = suspect.partition and a.project = suspect.project and a.id = suspect.id and a.outbox = suspect.outbox
