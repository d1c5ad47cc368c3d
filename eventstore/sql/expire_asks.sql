-- $1 of which partitions, $2 how many at most
with late as (
    select project, id from asks
    where partition = any ($1::integer[]) and deadline <= statement_timestamp() and answer is null
    order by deadline, id limit $2 for update skip locked
), ended as (
    update asks set answer = '' from late where asks.project = late.project and asks.id = late.id
    returning asks.*
)
select id, project, kind, name, reply_to, deadline, correlation, answer from ended order by deadline, id
