-- $1 project, $2 task
select type, events from task_event_counts where project = $1 and task = $2 order by type
