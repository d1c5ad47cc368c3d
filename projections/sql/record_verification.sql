-- $1 view, $2 build (another one is in its place by now: nothing is said of it), $3 position, $4 rows that differ
update views set verified_at = clock_timestamp(), verified_position = $3, verified_differences = $4
where name = $1 and build = $2
