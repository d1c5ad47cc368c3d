-- $1 project, $2 kind, $3 type, $4 at, $5 position
insert into event_counts as c (project, kind, type, events, last_at, last_position) values ($1, $2, $3, 1, $4, $5)
on conflict (project, kind, type) do update
    set events = c.events + 1, last_at = excluded.last_at, last_position = excluded.last_position
