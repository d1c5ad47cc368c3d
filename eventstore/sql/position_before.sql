select position_before($1)
