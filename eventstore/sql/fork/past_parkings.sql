-- $1 position. For forks of the fork.
insert into past_parkings select * from origin.past_parkings where until <= $1
