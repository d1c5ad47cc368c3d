-- $1 project, $2 correlation, $3 limit
select position from timeline where project = $1 and correlation = $2 order by position limit $3
