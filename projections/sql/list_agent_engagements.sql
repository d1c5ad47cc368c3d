-- $1 project, $2 agent, $3 limit; those at work first, then the latest
select e.task, e.role, e.open, r.status, r.summary, r.assigned_at, r.delivered_at, r.tool_calls, r.artifacts
from agent_engagements e left join task_roles r on r.project = e.project and r.task = e.task and r.role = e.role
where e.project = $1 and e.agent = $2
order by e.open desc, r.assigned_at desc nulls last, e.task, e.role limit $3
