-- $1 the lock. Who brings a schema of this database up to date, if anybody does.
select a.pid, a.application_name, a.usename, a.client_addr, a.client_port, a.state, a.xact_start,
       left(a.query, 500) as query
from pg_locks l join pg_stat_activity a using (pid)
where l.granted and l.locktype = 'advisory' and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and (l.classid::bigint << 32 | l.objid::bigint) = $1
