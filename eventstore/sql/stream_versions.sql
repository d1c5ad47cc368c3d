-- The versions that the stream ($1 project, $2 kind, $3 name) had when the log stood at $4 and at $5.
select version_at(id, $4), version_at(id, $5) from streams where project = $1 and kind = $2 and name = $3
