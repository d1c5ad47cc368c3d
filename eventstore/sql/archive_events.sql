-- The events in ($1, $2]. verifier.py reads the columns in this order: from the project on, what COPY writes of a row is
-- what was digested of it. `offset 0`: rows stream in the order of the log, whatever the planner thinks of their number.
select e.position, s.fenced, e.version, e.at, s.project, s.kind, s.name, t.tag, e.correlation, e.causation, e.body
from events e
left join lateral (select project, kind, name, fenced from streams where id = e.stream_id offset 0) s on true
left join lateral (select tag from event_types where id = e.type_id offset 0) t on true
where e.position > $1::bigint and e.position <= $2::bigint
order by e.position
