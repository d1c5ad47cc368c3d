-- $1 position. For forks of the fork.
insert into past_waits select * from origin.past_waits where until <= $1
