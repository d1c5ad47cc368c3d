-- $1 schema. Where views of it are being built: schemas beside it that are no installation of their own.
select n.nspname::text as name from pg_namespace n
where (starts_with(n.nspname, $1 || '_next_') or n.nspname ~ ('^' || $1 || '_r[0-9]{1,2}_'))
  and not exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'migrations')
