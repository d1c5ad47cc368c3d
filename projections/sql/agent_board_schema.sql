create table agents (
    project text not null,
    agent text not null,
    role text not null,
    capabilities text[] not null default '{}',
    max_concurrent integer not null default 0,  -- 0: at work without having been registered
    in_flight integer not null default 0,
    done integer not null default 0,
    failed integer not null default 0,
    busy_seconds double precision not null default 0,       -- from engagement to end, of what is done or failed
    tool_calls integer not null default 0,
    errors integer not null default 0,          -- failed tool runs and completions given up
    completions bigint not null default 0,      -- that came back
    tokens_in bigint not null default 0,
    tokens_out bigint not null default 0,
    priced bigint not null default 0,           -- of the completions, those whose price is known
    cost_micros bigint not null default 0,      -- of those, in millionths of a US dollar
    known_since timestamptz not null,
    parked integer not null default 0,          -- roles it is at work on whose actor is parked
    -- An agent is unavailable while at least one role that it is at work on is parked: a command broke that role's
    -- turn, and nobody has had it retried or dropped yet. Uptime at a time t is 1 - (unavailable_seconds +
    -- (t - unavailable_since)) / (t - known_since); unavailable_since is null while the agent is available.
    unavailable_seconds double precision not null default 0,
    unavailable_since timestamptz,
    success_rate double precision generated always as      -- null: nothing finished yet
        (case when done + failed > 0 then done::double precision / (done + failed) end) stored,
    average_seconds double precision generated always as
        (case when done + failed > 0 then busy_seconds / (done + failed) end) stored,
    load double precision generated always as (in_flight::double precision / greatest(max_concurrent, 1)) stored,
    status text generated always as (case when in_flight > 0 then 'working' else 'idle' end) stored,
    position bigint not null,                   -- where it was last seen
    at timestamptz not null,
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
    since timestamptz not null,
    parked boolean not null,    -- only while it is open
    position bigint not null,
    at timestamptz not null,
    primary key (project, task, role)
);
create index agent_engagements_newest on agent_engagements (project, at desc, position desc);
create index agent_engagements_of_agent on agent_engagements (project, agent, at desc, position desc);

-- Requests for an agent that had to wait, and whether they still do.
create table agent_requests (
    project text not null,
    task text not null,
    role text not null,
    waiting boolean not null,
    position bigint not null,
    at timestamptz not null,
    primary key (project, task, role)
);

-- How many of them wait, by role.
create table agent_queues (
    project text not null,
    role text not null,
    waiting integer not null default 0,
    position bigint not null,
    at timestamptz not null,
    primary key (project, role)
);
