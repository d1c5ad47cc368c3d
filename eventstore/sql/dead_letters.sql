-- $1 project, $2 kind of the actors that broke (null: all), $3 the tag of the event, $4 below which position (null: any),
-- $5 limit
-- There are few streams of the runtime in a project, and next to nothing but such events in them.
select e.position, e.at, e.body
from streams s
join events e on e.stream_id = s.id
join event_types t on t.id = e.type_id
where s.project = $1 and s.kind = 'runtime' and t.tag = $3 and ($4::bigint is null or e.position < $4)
  and ($2::text is null or convert_from(e.body, 'UTF8')::jsonb ->> 'kind' = $2)
order by e.position desc
limit $5
