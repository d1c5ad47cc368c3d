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
select project, kind, name, key, effect_kind, safety, body, at, correlation, causation, attempts, claim, state, note
from claimed order by at, key
