-- $1 partitions, $2 an outbox id for each
select distinct o.partition
from unnest($1::integer[], $2::bigint[]) as upto(partition, id)
join outbox o on o.partition = upto.partition and o.id <= upto.id
where not exists (select from parked_actors a where a.project = o.project and a.kind = o.kind and a.name = o.name)
