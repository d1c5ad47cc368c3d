-- $1 name, $2 owner, $3 time to live in seconds. Who has it now; no row when it was taken for the first time by another
-- while this statement ran.
with taken as (
    insert into leases as l (name, owner, epoch, expires_at)
    values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
    on conflict (name) do update
        set owner = excluded.owner, expires_at = excluded.expires_at,
            epoch = l.epoch + (l.owner <> excluded.owner)::integer
        where l.owner = excluded.owner or l.expires_at <= clock_timestamp()
    returning owner, epoch, expires_at
)
select owner, epoch, extract(epoch from expires_at - clock_timestamp())::float8 as expires_in_s
from (select owner, epoch, expires_at, 1 as rank from taken
      union all select owner, epoch, expires_at, 2 from leases where name = $1) found
order by rank
limit 1
