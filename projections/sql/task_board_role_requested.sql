-- $1 project, $2 task, $3 role
update task_roles set status = 'requested', activity = 'waiting for an agent'
where project = $1 and task = $2 and role = $3 and status = 'waiting'
