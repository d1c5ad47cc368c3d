-- $1 project, $2 task
select role, status, agent, needs, tool_calls, tools_returned, tools_failed, tools_could_not_run, tools_not_applicable,
       errors, artifacts, activity, assigned_at, delivered_at, seconds, summary
from task_roles where project = $1 and task = $2 order by ordinal, role
