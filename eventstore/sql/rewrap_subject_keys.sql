-- $1 the new master key's id; one element a key: $2 ids, $3 the master keys they are wrapped under, $4 new wrapped bytes
update subject_keys s set master = $1, wrapped = k.wrapped
from unnest($2::text[], $3::text[], $4::bytea[]) as k(id, master, wrapped)
where s.id = k.id and s.master = k.master and s.wrapped is not null
