-- $1 project, $2 ids
select id, project, kind, name, reply_to, deadline, correlation, answer from asks
where project = $1 and id = any ($2::text[]) and answer <> ''
