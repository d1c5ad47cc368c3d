-- $1 after, $2 limit, $3 up to, $4 project, $5 kind, $6 name, $7 types, $8 correlation; null leaves a field open
-- `offset 0` keeps the look-ups look-ups: rows stream in the order of the log, whatever the planner thinks of the limit.
select e.position, s.project, s.kind, s.name, e.version, t.tag, e.at, e.correlation, e.causation, e.body
from events e,
     lateral (select project, kind, name from streams where id = e.stream_id offset 0) s,
     lateral (select tag from event_types where id = e.type_id offset 0) t
where e.position > $1 and ($3::bigint is null or e.position <= $3)
  and ($4::text is null or s.project = $4)
  and ($5::text is null or s.kind = $5)
  and ($6::text is null or s.name = $6)
  and ($7::text[] is null or t.tag = any ($7))
  and ($8::text is null or e.correlation = $8)
order by e.position
limit $2
