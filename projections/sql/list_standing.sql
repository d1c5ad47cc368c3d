-- The age is that of the first commit the view has not folded, by the time the log took it (0: it has folded all)
select v.name, v.version, v.position, v.verified_at, v.verified_position, v.verified_differences,
       (select count(*) from view_quarantines q where q.view = v.name) as quarantined,
       greatest(0, (select coalesce(max(last_position), 0) from commits) - v.position) as lag_events,
       coalesce((
           select extract(epoch from clock_timestamp() - c.at)::double precision
           from commits c where c.last_position > v.position order by c.last_position limit 1
       ), 0) as lag_s
from views v order by v.name
