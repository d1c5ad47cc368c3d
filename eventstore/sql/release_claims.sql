update effects set worker = null, claim = null, claimed_until = null 
where claim is not null and (worker is null or worker <> all ($1::uuid[]))
