-- $1 position. What was kept for them by then, in its order.
insert into parked_commands overriding system value
select * from origin.parked_commands where position <= $1
union all
select id, project, kind, name, partition, key, type, at, correlation, deadline, reply_to, position, headers, body
from origin.past_waits
where position <= $1 and until > $1
