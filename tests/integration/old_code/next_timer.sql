select extract(epoch from min(due) - clock_timestamp())::double precision from timers
