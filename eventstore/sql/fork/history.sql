-- $1 project, $2 kind, $3 name, $4 after that version, $5 limit
select e.position, s.project, s.kind, s.name, e.version, t.tag, e.at, e.correlation, e.causation, e.body
from origin.streams s
join origin.events e on e.stream_id = s.id
join origin.event_types t on t.id = e.type_id
where s.project = $1 and s.kind = $2 and s.name = $3 and e.version > $4
order by e.version
limit $5
