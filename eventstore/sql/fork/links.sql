-- $1 position. Whole links, with the roots they have.
insert into commits select * from origin.commits where last_position <= $1
