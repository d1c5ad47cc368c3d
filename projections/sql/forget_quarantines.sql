delete from view_quarantines where view = $1
