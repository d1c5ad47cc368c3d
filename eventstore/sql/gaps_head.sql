-- Where the log ends, and the last migration of its schema.
select coalesce((select max(position) from events), 0) as head, (select max(name) from migrations) as migration
