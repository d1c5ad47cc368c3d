-- $1 projects, $2 keys
select t.project, t.key, t.trace
from unnest($1::text[], $2::text[]) as asked(project, key)
join traces t on t.project = asked.project and t.key = asked.key
