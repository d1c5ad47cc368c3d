-- $1 project, $2 key's id; of the event: $3 type, $4 at, $5 correlation, $6 causation, $7 body
select event_position, forgotten from forget_subject($1, $2, $3, $4, $5, $6, $7)
