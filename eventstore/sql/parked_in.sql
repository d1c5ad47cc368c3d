-- $1 partitions
select a.project, a.kind, a.name, a.reason, a.at, killer.key as killer, waits.commands, 0 as sends
from parked_actors a
left join lateral (select k.key from parked_commands k
                   where k.project = a.project and k.kind = a.kind and k.name = a.name order by k.id limit 1) killer
    on true,
lateral (select count(*) as commands from parked_commands k
         where k.project = a.project and k.kind = a.kind and k.name = a.name) waits
where a.partition = any ($1::integer[])
