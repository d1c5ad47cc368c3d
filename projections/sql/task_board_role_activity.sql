-- $1 project, $2 task, $3 role, $4 activity
update task_roles set activity = $4 where project = $1 and task = $2 and role = $3 and status = 'working'
