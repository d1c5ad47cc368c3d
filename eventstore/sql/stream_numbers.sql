-- $1 projects, $2 kinds, $3 names: the ids of those streams that exist. `offset 0`: one look-up an address.
select wanted.project, wanted.kind, wanted.name, s.id
from unnest($1::text[], $2::text[], $3::text[]) as wanted(project, kind, name),
     lateral (select id from streams
              where project = wanted.project and kind = wanted.kind and name = wanted.name offset 0) s
