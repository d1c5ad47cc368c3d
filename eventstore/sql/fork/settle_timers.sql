-- A firing that broke its actor left no event in its actor's stream; the inbox names it.
delete from timers t using inbox i
where i.project = t.project and i.kind = t.kind and i.name = t.name and i.outbox > 0 and t.due <= i.at
  and starts_with(i.id, 'timer:' || t.key || ':') and substr(i.id, length(t.key) + 8) ~ '^[0-9]+$'
