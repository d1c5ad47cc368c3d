-- $1 project, $2 task, $3 role, $4 needs, $5 place in the plan. A role already at work keeps its status.
insert into task_roles (project, task, role, status, needs, ordinal) values ($1, $2, $3, 'waiting', $4, $5)
on conflict (project, task, role) do update set needs = excluded.needs, ordinal = excluded.ordinal
