-- $1 project, $2 task. What still blocks a role that waits, and who waits for it: a failed role stops nobody.
select r.role, status, agent, needs, tool_calls, tools_returned, tools_failed, tools_could_not_run,
       tools_not_applicable, errors, artifacts, activity, assigned_at, delivered_at, seconds, summary,
       case when status = 'waiting' then array(
           select need from unnest(needs) with ordinality as n(need, place)
           where not exists (
               select from task_roles d where d.project = $1 and d.task = $2 and d.role = need
                                          and d.status in ('completed', 'failed')
           ) order by place
       ) else '{}' end as blocked_by,
       case when status not in ('completed', 'failed') then array(
           select w.role from task_roles w
           where w.project = $1 and w.task = $2 and w.status = 'waiting' and r.role = any(w.needs)
           order by w.ordinal, w.role
       ) else '{}' end as blocks
from task_roles r where project = $1 and task = $2 order by ordinal, role
