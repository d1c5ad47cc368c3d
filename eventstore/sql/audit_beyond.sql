-- The first event after the last commit (null: none).
select min(position) from events where position > coalesce((select max(last_position) from commits), 0)
