-- $1 project, $2 task, $3 outcome, $4 verdict, $5 summary, $6 at
update tasks set status = $3, verdict = $4, summary = $5, concluded_at = $6 where project = $1 and task = $2
