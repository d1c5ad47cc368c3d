select id from master_keys where retired_at is null
