-- $1 project, $2 task, $3 role, $4 agent
update task_roles set agent = $4, activity = case when status = 'requested' then 'being assigned' else activity end
where project = $1 and task = $2 and role = $3
