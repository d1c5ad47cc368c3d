-- $1 effect kinds, $2 worker, $3 time to live in seconds, $4 limit
with claimable as (
    select project, key from effects
    where state in ('withdrawn', 'done', 'failed') and effect_kind = any ($1::text[]) and due <= clock_timestamp()
      and (claim is null or claimed_until < clock_timestamp())
    order by at, key
    limit $4
    for update skip locked
), claimed as (
    update effects e set worker = $2, claim = gen_random_uuid(),
        claimed_until = clock_timestamp() + make_interval(secs => $3)
    from claimable c where e.project = c.project and e.key = c.key
    returning e.*
)
select c.project, c.kind, c.name, c.key, c.effect_kind, c.safety, c.body, c.at, c.correlation, c.causation, c.attempts,
       c.claim, c.state, c.note, coalesce(t.trace, '') as trace
from claimed c left join traces t on t.project = c.project and t.key = trace_key(c.key, c.causation)
order by c.at, c.key
