-- $1 project, $2 task, $3 role
update task_roles set errors = errors + 1 where project = $1 and task = $2 and role = $3
