-- $1 project, $2 limit
select id, project, subject, master, wrapped, created_at, forgotten_at
from subject_keys where project = $1 and subject <> '' order by created_at desc, id desc limit $2
