-- Commands of the inbox that led to no event of their actor, each with where the log stood when it was settled: at the end of
-- the last commit before (`stood`). Its row may be a little older or younger than its own commit: so that one and those
-- around it are between `low` and `high`.
select i.project, i.id, i.outbox, i.kind, i.name, i.type, i.outcome, i.detail, i.at,
       coalesce(before.first_position - 1, 0) as low, coalesce(before.last_position, 0) as stood,
       coalesce((select c.last_position from commits c where c.at > i.at order by c.at, c.last_position limit 1),
                (select max(c.last_position) from commits c), 0) as high
from inbox i
left join lateral (
    select c.first_position, c.last_position from commits c where c.at <= i.at order by c.at desc, c.last_position desc limit 1
) before on true
where (i.first_position = 0 or i.outcome = 'quarantined') and not (i.type = 'append' and i.outcome = 'accepted')
