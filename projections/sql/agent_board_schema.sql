create table agents (
    project text not null,
    agent text not null,
    role text not null,
    capabilities text[] not null default '{}',
    max_concurrent integer not null default 0,  -- 0: at work without having been registered
    in_flight integer not null default 0,
    done integer not null default 0,
    failed integer not null default 0,
    tool_calls integer not null default 0,
    success_rate double precision generated always as      -- null: nothing finished yet
        (case when done + failed > 0 then done::double precision / (done + failed) end) stored,
    load double precision generated always as (in_flight::double precision / greatest(max_concurrent, 1)) stored,
    status text generated always as (case when in_flight > 0 then 'working' else 'idle' end) stored,
    last_seen_at timestamptz not null,
    last_seen_position bigint not null,
    primary key (project, agent)
);

-- Who has which role in which task: events of a role's work name the task and the role, not the agent.
create table agent_engagements (
    project text not null,
    task text not null,
    role text not null,
    agent text not null,
    chosen boolean not null,    -- by the registry, which then also says when it ends
    open boolean not null,
    primary key (project, task, role)
);
create index agent_engagements_of_agent on agent_engagements (project, agent);
