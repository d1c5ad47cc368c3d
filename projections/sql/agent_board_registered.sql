-- $1 project, $2 agent, $3 role, $4 capabilities, $5 max_concurrent, $6 at, $7 position
insert into agents (project, agent, role, capabilities, max_concurrent, last_seen_at, last_seen_position)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (project, agent) do update
    set role = excluded.role, capabilities = excluded.capabilities, max_concurrent = excluded.max_concurrent,
        last_seen_at = excluded.last_seen_at, last_seen_position = excluded.last_seen_position
