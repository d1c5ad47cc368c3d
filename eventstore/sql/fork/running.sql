select count(*) from partitions where owner is not null and expires_at > clock_timestamp()
