-- $1 project, $2 keys, $3 SHA-256 of each one's work
update recorded_outcomes r set work = w.sha256
from unnest($2::text[], $3::bytea[]) as w(key, sha256)
where r.project = $1 and r.key = w.key and r.work is null
