-- One row for everything that is the same of many completions. Of a failed one provider and model are those that were
-- asked, '' where the log does not say.
create table llm_usage (
    project text not null,
    day date not null,                          -- UTC
    role text not null,
    agent text not null,                        -- '' if the role was assigned to nobody
    provider text not null,
    model text not null,
    requests bigint not null,                   -- completions that came back
    errors bigint not null,                     -- completions that were given up
    tokens_in bigint not null,
    tokens_out bigint not null,
    priced bigint not null,                     -- of the requests, those whose price is known
    cost_micros bigint not null,                -- of those, in millionths of a US dollar
    position bigint not null,                   -- the last of them
    at timestamptz not null,
    primary key (project, day, role, agent, provider, model)
);
create index llm_usage_by_agent on llm_usage (project, agent);

-- Who has which role in which task: a completion names the task and the role, not the agent.
create table llm_usage_agents (
    project text not null,
    task text not null,
    role text not null,
    agent text not null,
    position bigint not null,
    at timestamptz not null,
    primary key (project, task, role)
);
