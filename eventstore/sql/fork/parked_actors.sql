-- $1 position. Those that were parked by then and still are.
insert into parked_actors select * from origin.parked_actors where position <= $1
