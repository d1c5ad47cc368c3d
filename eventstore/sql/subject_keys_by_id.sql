-- $1 project, $2 ids of keys
select id, project, subject, master, wrapped, created_at, forgotten_at
from subject_keys where id = any ($2::text[]) and project = $1
