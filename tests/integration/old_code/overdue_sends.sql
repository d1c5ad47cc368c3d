select project, kind, name from outbox
where partition = any ($1::integer[]) and written_at < clock_timestamp() - make_interval(secs => $2)
group by project, kind, name
order by min(id)
limit $3
