-- $1 how many at most, $2 of which partitions (null: of all)
-- The firing is named by the timer's own id, not by what caused it: a timer that sets itself again for years keeps short names.
with fired as (
    delete from timers where (project, kind, name, key) in (
        select project, kind, name, key from timers
        where due <= clock_timestamp() and ($2::integer[] is null or partition = any ($2::integer[]))
        order by due, id limit $1 for update skip locked
    )
    returning *
), sent as (
    insert into outbox (project, kind, name, partition, key, sender, type, at, correlation, causation, body)
    select project, kind, name, partition, 'timer:' || key || ':' || id, kind || '/' || name, type, clock_timestamp(),
           correlation, causation, body
    from fired order by due, id
)
select project, kind, name from fired group by project, kind, name order by min(due), min(id)
