-- $1 position. Those that were parked by then, whatever became of them since.
insert into parked_actors
select * from origin.parked_actors where position <= $1
union all
select project, kind, name, partition, reason, at, position from origin.past_parkings
where position <= $1 and until > $1
