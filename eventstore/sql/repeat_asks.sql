-- $1 project, $2 ids, $3 the inbox for each
-- An inbox that is the same already is not written again: an asker repeats itself until it is answered.
with again as (
    select * from unnest($2::text[], $3::text[]) as wanted (id, reply_to)
), changed as (
    update asks set reply_to = again.reply_to from again
    where asks.project = $1 and asks.id = again.id and asks.reply_to <> again.reply_to
)
select a.id, a.project, a.kind, a.name, again.reply_to, a.deadline, a.correlation, a.answer,
       coalesce(t.trace, '') as trace
from asks a join again using (id) left join traces t on t.project = a.project and t.key = a.id
where a.project = $1
