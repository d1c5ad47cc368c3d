-- $3 is where the projector believes the view to be: of two projectors only one finds it there
update views set position = $4 where name = $1 and version = $2 and position = $3
