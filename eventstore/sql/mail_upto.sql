-- $1 partitions
select o.partition, max(o.id) as upto
from outbox o
where o.partition = any ($1::integer[])
  and not exists (select from parked_actors a where a.project = o.project and a.kind = o.kind and a.name = o.name)
group by o.partition
