-- $1 project, $2 task, $3 role, $4 agent, $5 at. A role that already failed (its time was up) stays failed.
insert into task_roles as r (project, task, role, status, agent, activity, assigned_at)
values ($1, $2, $3, 'working', $4, 'recalling', $5)
on conflict (project, task, role) do update
    set status = excluded.status, agent = excluded.agent, activity = excluded.activity,
        assigned_at = excluded.assigned_at
    where r.status in ('waiting', 'requested')
