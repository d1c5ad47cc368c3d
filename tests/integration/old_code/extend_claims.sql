update effects set claimed_until = clock_timestamp() + make_interval(secs => $2) where worker = $1
