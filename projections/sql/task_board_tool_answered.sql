-- $1 project, $2 task, $3 role, $4 tool. Several tools may be at work; the last one asked for is shown.
update task_roles set activity = 'waiting for tools'
where project = $1 and task = $2 and role = $3 and status = 'working' and activity = $4
