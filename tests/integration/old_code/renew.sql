-- $1 partitions, $2 owner, $3 time to live in seconds; locked in the order of their ids, as everywhere
with held as (
    select id from partitions where id = any ($1::integer[]) and owner = $2 order by id for update
)
update partitions p set expires_at = clock_timestamp() + make_interval(secs => $3)
from held where p.id = held.id
returning p.id
