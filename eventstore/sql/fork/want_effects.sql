-- $1 project, $2 kind, $3 name, then a column each
insert into effects (project, kind, name, key, effect_kind, safety, at, correlation, causation, body)
select $1, $2, $3, e.*
from unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::text[], $10::bytea[]) e
