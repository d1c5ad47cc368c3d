select o.id, o.key, o.project, o.kind, o.name, o.sender, o.type, o.body, o.at, o.correlation, o.causation, o.outcome_of,
       coalesce(t.trace, '') as trace
from unnest($1::text[], $2::text[], $3::text[]) as receiver(project, kind, name)
join outbox o on o.project = receiver.project and o.kind = receiver.kind and o.name = receiver.name
left join traces t on t.project = o.project and t.key = trace_key(o.key, o.causation)
order by o.id
limit $4
