-- $1 projects, $2 kinds, $3 names: how far each of these streams is, in this order (0: there is none).
select array_agg(coalesce(s.version, 0) order by u.n)
from unnest($1::text[], $2::text[], $3::text[]) with ordinality as u(project, kind, name, n)
left join lateral (
    select version from streams where project = u.project and kind = u.kind and name = u.name offset 0
) s on true
