-- $1 project, $2 task, $3 role, $4 path
select a.task, a.role, a.path, a.media_type, a.sha256, a.size_bytes, a.position, r.delivered_at
from task_artifacts a left join task_roles r on r.project = a.project and r.task = a.task and r.role = a.role
where a.project = $1 and a.task = $2 and a.role = $3 and a.path = $4
