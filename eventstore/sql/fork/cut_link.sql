-- $1 position. The part of a commit that the position cuts is a link of its own, taken at the same time.
select seal_at(c.first_position, $1, null, c.at) from origin.commits c where c.first_position <= $1 and c.last_position > $1
