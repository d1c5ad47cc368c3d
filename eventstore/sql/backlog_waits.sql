-- $1 rows of each table that are counted at most
select (select count(*) from (select from outbox limit $1) o) as sends,
       coalesce((
           select greatest(0, extract(epoch from clock_timestamp() - o.written_at)::float8) from outbox o
           where not exists (
               select from parked_actors a where a.project = o.project and a.kind = o.kind and a.name = o.name
           )
           order by o.id limit 1
       ), 0) as sends_oldest_s,
       (select count(*) from (select from asks where answer is null limit $1) a) as asks,
       coalesce((
           select greatest(0, extract(epoch from clock_timestamp() - min(deadline))::float8) from asks where answer is null
       ), 0) as asks_overdue_s,
       (select count(*) from (select from parked_commands limit $1) p) as parked_commands,
       (select count(*) from workers where expires_at > clock_timestamp()) as workers,
       count(*) as partitions,
       count(*) filter (where owner is null or expires_at <= clock_timestamp()) as partitions_free,
       coalesce(min(cursor), 0) as cursor_lowest
from partitions
