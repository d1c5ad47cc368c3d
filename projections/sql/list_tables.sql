-- $2 null: all tables of the schema; else those whose comment says they are that view's
select c.relname::text as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind = 'r' and ($2::text is null or obj_description(c.oid, 'pg_class') = $2)
order by c.relname
