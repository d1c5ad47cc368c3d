-- $1 project, $2 task
update tasks set quarantined = quarantined + 1 where project = $1 and task = $2
