-- $1 project, $2 ids
select a.id, a.project, a.kind, a.name, a.reply_to, a.deadline, a.correlation, a.answer, coalesce(t.trace, '') as trace
from asks a left join traces t on t.project = a.project and t.key = a.id
where a.project = $1 and a.id = any ($2::text[]) and a.answer <> ''
