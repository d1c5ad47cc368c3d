-- An external command comes last, so that it wins over an outcome of the same name in a table by id.
select id, project, kind, name, type, outcome, detail, first_position, events from inbox
where project = $1 and id = any ($2::text[])
order by outbox desc
