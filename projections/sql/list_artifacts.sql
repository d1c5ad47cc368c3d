-- $1 project, $2 task (null: all), $3 role (null: all), $4 limit; the latest delivery first
select a.task, a.role, a.path, a.media_type, a.sha256, a.size_bytes, a.position, r.delivered_at
from task_artifacts a left join task_roles r on r.project = a.project and r.task = a.task and r.role = a.role
where a.project = $1 and ($2::text is null or a.task = $2) and ($3::text is null or a.role = $3)
order by a.position desc, a.ordinal limit $4
