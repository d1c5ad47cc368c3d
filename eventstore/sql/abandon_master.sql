-- $1 the current master key's id
select abandon_master($1)
