-- Schemas that can say whether they are forks.
select n.nspname::text as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relname = 'fork' and c.relkind = 'r'
  and exists (select from pg_class m where m.relnamespace = n.oid and m.relname = 'recorded_outcomes')
order by 1
