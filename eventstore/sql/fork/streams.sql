-- Those that have an event in the fork, with their number. A stream that began later is made when it begins here.
insert into streams (id, project, kind, name, version, fenced) overriding system value
select s.id, s.project, s.kind, s.name, e.version, s.fenced
from (select stream_id, max(version) as version from events group by stream_id) e
join origin.streams s on s.id = e.stream_id
