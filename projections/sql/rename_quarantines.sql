update view_quarantines set view = $2 where view = $1
