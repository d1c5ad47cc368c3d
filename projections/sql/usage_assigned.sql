-- $1 project, $2 task, $3 role, $4 agent
insert into llm_usage_agents (project, task, role, agent) values ($1, $2, $3, $4)
on conflict (project, task, role) do update set agent = excluded.agent
