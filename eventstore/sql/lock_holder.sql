-- Who holds the log's lock, or else has the oldest transaction with rows or tables of this schema locked. What other
-- users run is null unless we may see it.
select pid, application_name, usename, client_addr, client_port, state, xact_start, left(query, 500) as query
from (
    select a.*, true as of_log
    from pg_locks l join pg_stat_activity a using (pid)
    where l.granted and l.locktype = 'advisory' and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(current_schema() || ':log', 0)
    union all
    select a.*, false
    from pg_locks l join pg_stat_activity a using (pid) join pg_class c on c.oid = l.relation
    where l.granted and l.locktype = 'relation' and l.mode <> 'AccessShareLock'
      and l.database = (select oid from pg_database where datname = current_database())
      and c.relnamespace = current_schema()::regnamespace
) holder
where pid <> pg_backend_pid()
order by of_log desc, xact_start
limit 1
