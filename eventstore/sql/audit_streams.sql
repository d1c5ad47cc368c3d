-- The first stream whose events are not of the versions 1, 2, 3, … up to that of its row.
select s.project, s.kind, s.name, s.version, coalesce(e.last, 0) as last,
       coalesce((select position from events where stream_id = s.id order by version desc limit 1), 0) as position
from streams s
left join (
    select stream_id, count(*) as events, min(version) as first, max(version) as last from events group by stream_id
) e on e.stream_id = s.id
where s.version <> coalesce(e.last, 0) or e.events <> e.last or e.first <> 1
order by position
limit 1
