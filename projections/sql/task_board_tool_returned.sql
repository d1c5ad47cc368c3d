-- $1 project, $2 task, $3 role, $4 the run's status
update task_roles set
    tools_returned = tools_returned + 1,
    tools_failed = tools_failed + ($4::text = 'failed')::integer,
    tools_could_not_run = tools_could_not_run + ($4 = 'could_not_run')::integer,
    tools_not_applicable = tools_not_applicable + ($4 = 'not_applicable')::integer,
    errors = errors + ($4 = 'failed')::integer
where project = $1 and task = $2 and role = $3
