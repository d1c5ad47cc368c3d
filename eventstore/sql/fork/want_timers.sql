-- $1 project, $2 kind, $3 name, $4 partition, then a column each
insert into timers (project, kind, name, partition, key, due, type, correlation, causation, body)
select $1, $2, $3, $4, t.* from unnest($5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::bytea[]) t
