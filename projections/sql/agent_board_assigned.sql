-- The agent took the role up. What the registry chose is engaged already, and stays closed once it is closed.
-- $1 project, $2 task, $3 role, $4 agent, $5 at, $6 position
with engaged as (
    insert into agent_engagements (project, task, role, agent, chosen, open) values ($1, $2, $3, $4, false, true)
    on conflict (project, task, role) do nothing returning 1
)
insert into agents as a (project, agent, role, in_flight, last_seen_at, last_seen_position)
values ($1, $4, $3, (select count(*) from engaged), $5, $6)
on conflict (project, agent) do update
    set in_flight = a.in_flight + excluded.in_flight, last_seen_at = excluded.last_seen_at,
        last_seen_position = excluded.last_seen_position
