-- $1 effect kinds, $2 worker, $3 time to live in seconds, $4 limit
-- `state` is what it was: an answer "again" holds for one attempt.
with claimable as (
    select project, key, state from effects
    where effect_kind = any ($1::text[]) and due <= clock_timestamp() and state in ('', 'again')
      and (claim is null or claimed_until < clock_timestamp())
    order by at, key
    limit $4
    for update skip locked
), claimed as (
    update effects e set worker = $2, claim = gen_random_uuid(), attempts = attempts + 1, state = '',
        claimed_until = clock_timestamp() + make_interval(secs => $3)
    from claimable c where e.project = c.project and e.key = c.key
    returning e.project, e.kind, e.name, e.key, e.effect_kind, e.safety, e.body, e.at, e.correlation, e.causation,
              e.attempts, e.claim, c.state, e.note
)
select c.*, coalesce(t.trace, '') as trace
from claimed c left join traces t on t.project = c.project and t.key = trace_key(c.key, c.causation)
order by c.at, c.key
