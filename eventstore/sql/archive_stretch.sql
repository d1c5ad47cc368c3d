-- The whole commits that hold the positions $1 to $2 (null: to the last): the last position before them and the root
-- there, their last position and the root there, how many they are; no position: there are none.
select a.last_position as before, encode(a.root, 'hex') as root_before,
       z.last_position as last, encode(z.root, 'hex') as root,
       (select count(*) from commits c
        where c.last_position > coalesce(a.last_position, 0) and c.last_position <= z.last_position) as commits
from (select) always
left join lateral (
    select c.last_position, c.root from commits c where c.last_position < $1::bigint and $1 > 1
    order by c.last_position desc limit 1
) a on true
left join lateral (
    (select c.last_position, c.root from commits c where $2::bigint is null order by c.last_position desc limit 1)
    union all
    (select c.last_position, c.root from commits c where c.last_position >= $2 order by c.last_position limit 1)
) z on true
