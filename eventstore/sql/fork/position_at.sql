-- $1 position. When the commit that holds it was made (0: the first one); the present where there is none.
select coalesce(
    (select at from origin.commits where last_position >= $1 order by last_position limit 1), clock_timestamp())
