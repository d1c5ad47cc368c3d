-- $1 position. Of a command whose events the position cuts only those that are there count.
update inbox set events = $1 - first_position + 1 where first_position > 0 and first_position + events - 1 > $1
