-- The links with $1 < last position <= $2. verifier.py reads the columns in this order.
select format, first_position, last_position, at, digest, marks, root from commits
where last_position > $1::bigint and last_position <= $2::bigint
order by last_position
