-- $1 project, $2 task
update tasks set roles_total = r.total, roles_done = r.done
from (
    select count(*) as total, count(*) filter (where status in ('completed', 'failed')) as done
    from task_roles where project = $1 and task = $2
) r
where project = $1 and task = $2
