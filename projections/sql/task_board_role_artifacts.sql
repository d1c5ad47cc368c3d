-- $1 project, $2 task, $3 role: how many artifacts it has now
update task_roles set artifacts =
    (select count(*) from task_artifacts a where a.project = $1 and a.task = $2 and a.role = $3)
where project = $1 and task = $2 and role = $3
