-- $1 workers
delete from workers where id = any ($1::uuid[])
