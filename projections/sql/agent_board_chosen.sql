-- The registry gave the role to this agent; somebody who still had it is rid of it without an outcome.
-- $1 project, $2 task, $3 role, $4 agent, $5 at, $6 position
with before as (
    select agent from agent_engagements where project = $1 and task = $2 and role = $3 and open
), engaged as (
    insert into agent_engagements (project, task, role, agent, chosen, open) values ($1, $2, $3, $4, true, true)
    on conflict (project, task, role) do update set agent = excluded.agent, chosen = true, open = true
), rid as (
    update agents set in_flight = in_flight - 1 where project = $1 and agent in (select agent from before where agent <> $4)
)
insert into agents as a (project, agent, role, in_flight, last_seen_at, last_seen_position)
values ($1, $4, $3, case when exists (select 1 from before where agent = $4) then 0 else 1 end, $5, $6)
on conflict (project, agent) do update
    set in_flight = a.in_flight + excluded.in_flight, last_seen_at = excluded.last_seen_at,
        last_seen_position = excluded.last_seen_position
