-- $1 project, $2 task
select project, task, title, repo, status, verdict, summary, submitted_at, started_at, concluded_at,
       roles_total, roles_done, events, quarantined, position, person, contact
from tasks where project = $1 and task = $2
