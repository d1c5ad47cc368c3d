-- $1 after that number, $2 limit. Streams of actors, with their version in the fork.
select o.id, o.project, o.kind, o.name, coalesce(s.version, 0) as version
from origin.streams o left join streams s on s.id = o.id
where o.fenced and o.id > $1
order by o.id
limit $2
