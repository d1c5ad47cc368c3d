-- $1 name, $2 owner
update leases set expires_at = clock_timestamp() where name = $1 and owner = $2
