insert into wanted_sends (position, project, kind, name, partition, key, sender, type, at, correlation, causation, body)
select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::text[],
                     $9::timestamptz[], $10::text[], $11::text[], $12::bytea[])
