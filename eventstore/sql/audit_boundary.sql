-- Where the first commit ends that ends at $1 or later.
select last_position from commits where last_position >= $1::bigint order by last_position limit 1
