delete from view_ranges where view = $1 returning number
