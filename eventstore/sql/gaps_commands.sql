-- $1 project, $2 id, $3 outbox of the row after which to begin, $4 how many rows, $5 the log's head
-- Of the next rows of the inbox those that the events contradict (`wrong`), and the last one whatever it is. `offset 0`:
-- events are looked up by their positions, however many their stream has.
with page as (
    select project, id, outbox, kind, name, type, outcome, first_position, events from inbox
    where (project, id, outbox) > ($1, $2, $3) order by project, id, outbox limit $4
), judged as (
    select page.*, row_number() over (order by project, id, outbox) as n, count(*) over () as rows,
           case when type = 'append' and outcome = 'accepted' then
                    case when events > 0 and (first_position < 1 or first_position + events - 1 > $5) then 'events' end
                when outcome in ('silent', 'refused', 'parked') then case when events <> 0 then 'some' end
                when outcome = 'accepted' and events < 1 then 'none'
                when events > 0 and events <> (
                    select count(*) from (
                        select e.stream_id, e.causation from events e
                        where e.position >= first_position and e.position < first_position + events offset 0) e
                    where e.causation = page.id and e.stream_id = (
                          select s.id from streams s
                          where s.project = page.project and s.kind = page.kind and s.name = page.name))
                    then 'events' end as wrong
    from page
)
select project, id, outbox, kind || '/' || name as actor, first_position, rows, wrong from judged
where wrong is not null or n = rows
order by n
