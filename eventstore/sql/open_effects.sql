-- $1 project (null: all), $2 only those with that state (null: all), $3 only that key (null: all), $4 limit
select project, kind, name, key, effect_kind, safety, at, correlation, attempts, state, note, body,
       claim is not null and claimed_until >= clock_timestamp() as claimed
from effects
where ($1::text is null or project = $1) and ($2::text is null or state = $2) and ($3::text is null or key = $3)
  and effect_kind not in ('runtime-withdraw', 'runtime-deadline')
order by at, key limit $4
