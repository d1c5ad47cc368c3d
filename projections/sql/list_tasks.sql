-- $1 project, $2 limit
select project, task, title, repo, status, verdict, summary, submitted_at, started_at, concluded_at,
       roles_total, roles_done, events, quarantined, position, person, contact
from tasks where project = $1 order by submitted_position desc limit $2
