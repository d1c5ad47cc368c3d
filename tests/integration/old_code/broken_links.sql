-- Stretches of the log in ($1, $2] that the chain does not vouch for, first $3: bytes changed, events missing or added.
select first_position, last_position from (
    select first_position, last_position, digest, root,
           lag(root) over (order by last_position) as previous,
           lag(last_position, 1, 0::bigint) over (order by last_position) as before
    from commits
    where last_position >= coalesce((select max(last_position) from commits where last_position <= $1::bigint), 0)
      and first_position <= $2::bigint
) link
where last_position > $1::bigint
  and (first_position <> before + 1
       or digest is distinct from digest_of(first_position, last_position)
       or root is distinct from link_root(previous, first_position, last_position, digest))
union all
select min(position), max(position) from events
where position > coalesce((select max(last_position) from commits), 0) and position > $1 and position <= $2
having count(*) > 0
order by last_position
limit $3
