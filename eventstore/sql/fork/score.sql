-- $1 position
insert into score (project, kind, name, version, causation)
select s.project, s.kind, s.name, e.version, e.causation
from origin.events e join origin.streams s on s.id = e.stream_id
where e.position > $1 and s.fenced
