-- $1 project, $2 kind, $3 name, $4 partition, $5 id of the killer, $6 is it sent again, $7 what has expired too, $8 tag and
-- $9 time and $10 body of the event
select event_version, event_position, sent, expired from release_actor($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
