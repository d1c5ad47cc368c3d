-- $1 of which partitions, $2 how many at most
with late as (
    select project, id from asks
    where partition = any ($1::integer[]) and deadline <= statement_timestamp() and answer is null
    order by deadline, id limit $2 for update skip locked
), ended as (
    update asks set answer = '' from late where asks.project = late.project and asks.id = late.id
    returning asks.*
)
select e.id, e.project, e.kind, e.name, e.reply_to, e.deadline, e.correlation, e.answer, coalesce(t.trace, '') as trace
from ended e left join traces t on t.project = e.project and t.key = e.id
order by e.deadline, e.id
