-- $1 the current master key's id, $2 the one that takes its place
select change_master($1, $2)
