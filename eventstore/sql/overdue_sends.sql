-- What waits for a parked actor is nobody's to hear of.
select project, kind, name from outbox o
where partition = any ($1::integer[]) and written_at < clock_timestamp() - make_interval(secs => $2)
  and not exists (select from parked_actors a where a.project = o.project and a.kind = o.kind and a.name = o.name)
group by project, kind, name
order by min(id)
limit $3
