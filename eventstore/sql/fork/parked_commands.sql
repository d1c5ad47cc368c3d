-- $1 position. What was kept for them by then, in its order.
insert into parked_commands overriding system value
select c.* from origin.parked_commands c
where c.position <= $1
  and exists (select from parked_actors a where a.project = c.project and a.kind = c.kind and a.name = c.name)
