with held as (
    select id from partitions where id = any ($1::integer[]) and owner = $2 order by id for update
)
update partitions p set owner = null, expires_at = '-infinity' from held where p.id = held.id
