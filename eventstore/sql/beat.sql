-- $1 worker, $2 alone, $3 effect kinds, $4 host, $5 process id, $6 time to live in seconds, $7 forget the dead after
with forgotten as (
    delete from workers where id <> $1 and expires_at < clock_timestamp() - make_interval(secs => $7)
)
insert into workers (id, alone, effects, host, pid, expires_at)
values ($1, $2, $3::text[], $4, $5, clock_timestamp() + make_interval(secs => $6))
on conflict (id) do update set expires_at = excluded.expires_at, effects = excluded.effects
