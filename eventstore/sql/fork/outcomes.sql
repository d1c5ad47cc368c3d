-- What effects came to in the original and was not settled by the position: heard later, or still under way.
insert into recorded_outcomes (project, key, work, type, body)
select distinct on (project, key) project, key, work, type, body from (
    select i.project, left(i.id, -8) as key, null::bytea as work, i.type, i.body, 1 as rank
    from origin.inbox i
    where i.outbox > 0 and right(i.id, 8) = ':outcome'
      and not exists (select from inbox known where known.project = i.project and known.id = i.id and known.outbox > 0)
    union all
    select o.project, o.outcome_of, null, o.type, o.body, 2 from origin.outbox o where o.outcome_of <> ''
    union all
    select r.project, r.key, r.work, r.type, r.body, 3 from origin.recorded_outcomes r
) outcome
order by project, key, rank
