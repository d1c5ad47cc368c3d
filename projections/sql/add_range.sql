insert into view_ranges (view, number, first_position, last_position) values ($1, $2, $3, $4)
