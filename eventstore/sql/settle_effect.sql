-- $1 project, $2 key, $3 the answer, $4 note
update effects set state = $3, note = $4, due = clock_timestamp()
where project = $1 and key = $2 and state = 'unknown'
returning effect_kind
