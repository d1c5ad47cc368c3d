update effects set worker = null, claim = null, claimed_until = null where worker is distinct from $1 and claim is not null
