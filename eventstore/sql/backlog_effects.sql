-- $1 rows that are counted at most, $2 effect kinds that are none
select effect_kind, standing, count(*) as count,
       extract(epoch from clock_timestamp() - min(
           case when standing = 'unknown' or not isfinite(due) then at else greatest(at, due) end
       ))::float8 as oldest_s
from (
    select effect_kind, at, due,
           case when state = 'unknown' then 'unknown'
                when claim is not null and claimed_until > clock_timestamp() then 'running'
                when state in ('withdrawn', 'done', 'failed') then 'ending'
                when due > clock_timestamp() then 'delayed'
                else 'waiting' end as standing
    from effects
    where not effect_kind = any ($2::text[])
    order by at, key
    limit $1
) e
group by effect_kind, standing
order by effect_kind, standing
