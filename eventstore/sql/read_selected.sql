-- $1 after, $2 up to, $3 limit, $4 type ids, $5 correlation, $6 project, $7 kind, $8 name; null leaves a field open
-- `offset 0` keeps the look-ups look-ups: rows stream in the order of the log, whatever the planner thinks of the limit.
select e.position, e.stream_id, e.version, e.type_id, e.at, e.correlation, e.causation, e.body
from events e, lateral (select project, kind, name from streams where id = e.stream_id offset 0) s
where e.position > $1 and e.position <= $2
  and ($4::smallint[] is null or e.type_id = any ($4)) and ($5::text is null or e.correlation = $5)
  and ($6::text is null or s.project = $6) and ($7::text is null or s.kind = $7) and ($8::text is null or s.name = $8)
order by e.position
limit $3
