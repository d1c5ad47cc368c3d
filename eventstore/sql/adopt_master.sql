-- $1 the id of a master key
select adopt_master($1)
