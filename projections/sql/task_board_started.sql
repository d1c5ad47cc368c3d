-- $1 project, $2 task, $3 at
update tasks set status = 'active', started_at = $3 where project = $1 and task = $2 and status = 'submitted'
