-- $1 project, $2 kind, $3 name
select a.project, a.kind, a.name, a.reason, a.at, killer.key as killer, waits.commands, sends.count as sends
from parked_actors a
left join lateral (select k.key from parked_commands k
                   where k.project = a.project and k.kind = a.kind and k.name = a.name order by k.id limit 1) killer
    on true,
lateral (select count(*) as commands from parked_commands k
         where k.project = a.project and k.kind = a.kind and k.name = a.name) waits,
lateral (select count(*) from outbox o where o.project = a.project and o.kind = a.kind and o.name = a.name) sends
where a.project = $1 and a.kind = $2 and a.name = $3
