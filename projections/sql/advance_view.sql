-- $3 build, $4 where the projector believes the view to be: of two projectors only one finds it there
update views set position = $5 where name = $1 and version = $2 and build = $3 and position = $4
