-- The outcome and the end of the effect are one statement: a worker that lost its claim writes nothing. Its deadline
-- goes with it.
with ended as (
    delete from effects where project = $1 and key = $2 and claim = $3
    returning project, key, kind, name, correlation, causation
), deadline as (
    delete from effects e using ended where e.project = ended.project and e.key = ended.key || ':deadline'
)
insert into outbox (project, kind, name, partition, key, sender, type, at, correlation, causation, outcome_of, body)
select project, kind, name, $4, key || ':outcome', kind || '/' || name, $5, $6, correlation, key, key, $7 from ended
