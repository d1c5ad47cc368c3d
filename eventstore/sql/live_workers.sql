select id, alone, effects, host, pid, joined_at from workers where expires_at > clock_timestamp() order by id
