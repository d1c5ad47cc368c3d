-- $1 project, $2 task, $3 role, $4 outcome, $5 summary, $6 at. The first outcome counts: a delivery after the
-- orchestrator gave the role up changes nothing.
update task_roles set status = $4, summary = $5, delivered_at = $6, activity = ''
where project = $1 and task = $2 and role = $3 and status not in ('completed', 'failed')
