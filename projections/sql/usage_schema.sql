-- One row for everything that is the same of many completions. A failed one has no provider and no model.
create table llm_usage (
    project text not null,
    day date not null,                          -- UTC
    role text not null,
    agent text not null,                        -- '' if the role was assigned to nobody
    provider text not null,
    model text not null,
    requests bigint not null default 0,         -- completions that came back
    errors bigint not null default 0,           -- completions that were given up
    tokens_in bigint not null default 0,
    tokens_out bigint not null default 0,
    priced bigint not null default 0,           -- of the requests, those whose price is known
    cost_micros bigint not null default 0,      -- of those, in millionths of a US dollar
    last_position bigint not null,
    primary key (project, day, role, agent, provider, model)
);
create index llm_usage_by_agent on llm_usage (project, agent);

-- Who has which role in which task: a completion names the task and the role, not the agent.
create table llm_usage_agents (
    project text not null,
    task text not null,
    role text not null,
    agent text not null,
    primary key (project, task, role)
);
