update effects set worker = null, claim = null, claimed_until = null, due = clock_timestamp() + make_interval(secs => $4)
where project = $1 and key = $2 and claim = $3
