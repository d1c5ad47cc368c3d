-- $1 origin, $2 position, $3 when that was committed, $4 live
-- A fork of a fork reads sealed text with the keys of the first original.
insert into fork (origin, keys, position, at, live)
values ($1, coalesce((select keys from origin.fork), $1), $2, $3, $4)
returning created_at
