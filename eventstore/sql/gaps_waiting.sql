-- What is under way, each with the event that wanted it ("kind/name@version"); the first one whose event is not there,
-- and how many there are.
with waiting as (
    select project, kind || '/' || name as actor, key, causation from outbox
    union all
    select project, kind || '/' || name, key, causation from timers
    union all
    select project, kind || '/' || name, key, causation from effects
), judged as (
    select w.project, w.actor, w.key, p.place is null or not exists (
               select from streams x join events y on y.stream_id = x.id
               where x.project = w.project and x.kind = p.place[1] and x.name = p.place[2]
                 and y.version = p.place[3]::bigint) as wrong
    from waiting w, lateral (select regexp_match(w.causation, '^([^/@]+)/([^/@]+)@([0-9]{1,18})') as place offset 0) p
)
select count(*) as rows, bad.project, bad.actor, bad.key
from judged left join lateral (
    select project, actor, key from judged where wrong order by project, actor, key limit 1
) bad on true
group by bad.project, bad.actor, bad.key
