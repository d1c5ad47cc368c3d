-- $1 position
insert into events select * from origin.events where position <= $1
