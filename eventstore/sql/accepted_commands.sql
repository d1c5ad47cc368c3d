-- $1 project, $2 kind, $3 name, $4 ids. With their bytes, as the inbox keeps them.
select id, type, body from inbox
where project = $1 and id = any ($4::text[]) and kind = $2 and name = $3 and outcome = 'accepted'
