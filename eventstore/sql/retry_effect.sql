-- $5: whether it was an attempt.
update effects set worker = null, claim = null, claimed_until = null, attempts = attempts - case when $5 then 0 else 1 end,
    due = clock_timestamp() + make_interval(secs => $4)
where project = $1 and key = $2 and claim = $3
