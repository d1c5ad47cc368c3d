-- $1 project, $2 key, $3 claim, $4 note, $5 partition, then the command for its actor: $6 type (null: none), $7 at, $8 body
-- The command is no outcome: that comes when a human has settled it.
with doubted as (
    update effects set state = 'unknown', note = $4, due = 'infinity', worker = null, claim = null, claimed_until = null
    where project = $1 and key = $2 and claim = $3
    returning project, key, kind, name, correlation, attempts
), told as (
    insert into outbox (project, kind, name, partition, key, sender, type, at, correlation, causation, body)
    select project, kind, name, $5, key || ':unknown.' || attempts, kind || '/' || name, $6, $7, correlation, key, $8
    from doubted where $6::text is not null
)
select count(*) from doubted
