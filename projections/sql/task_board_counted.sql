-- Every event counts for the task that caused it, if there is such a task. $1 project, $2 task, $3 type, $4 position
with counted as (
    update tasks set events = events + 1, position = $4 where project = $1 and task = $2 returning 1
)
insert into task_event_counts as c (project, task, type, events) select $1, $2, $3, 1 from counted
on conflict (project, task, type) do update set events = c.events + 1
