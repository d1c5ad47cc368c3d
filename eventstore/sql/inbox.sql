-- What comes last wins in a table by id: an external command over an outcome of the same name, and over both what
-- became of a command that had broken its actor or waited for it, and was decided after all.
select id, project, kind, name, type, outcome, detail, first_position, events from inbox
where project = $1 and id = any ($2::text[])
order by outcome in ('quarantined', 'parked') desc, outbox desc
