-- $1 project, $2 kind, $3 name, $4 after which number, $5 limit
select k.id, k.key, k.type, k.body, k.headers, k.at, k.correlation, k.deadline, k.reply_to,
       coalesce(k.deadline < clock_timestamp(), false) as expired,
       not exists (select from parked_commands e
                   where e.project = k.project and e.kind = k.kind and e.name = k.name and e.id < k.id) as killer
from parked_commands k
where k.project = $1 and k.kind = $2 and k.name = $3 and k.id > $4
order by k.id
limit $5
