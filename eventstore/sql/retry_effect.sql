-- $5: whether it was an attempt
update effects set worker = null, claim = null, claimed_until = null, due = clock_timestamp() + make_interval(secs => $4),
    attempts = attempts - case when $5 then 0 else 1 end
where project = $1 and key = $2 and claim = $3
