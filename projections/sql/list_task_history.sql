-- $1 project, $2 task, $3 after position, $4 limit; in order
select happened, role, agent, detail, event, causation, position, at
from task_history where project = $1 and task = $2 and position > $3 order by position limit $4
