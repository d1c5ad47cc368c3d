create table tasks (
    project text not null,
    task text not null,
    title text not null,
    repo text not null,
    person text not null default '',            -- the pseudonymous id of whom it concerns
    contact text not null default '',           -- personal: sealed under that subject's key
    status text not null,                       -- submitted, active, completed, failed
    verdict text not null default '',
    summary text not null default '',
    submitted_at timestamptz not null,
    submitted_position bigint not null,
    started_at timestamptz,
    concluded_at timestamptz,
    roles_total integer not null default 0,
    roles_done integer not null default 0,      -- completed or failed
    events bigint not null default 0,           -- every event the task caused, in whatever stream
    quarantined integer not null default 0,     -- commands of the task whose turn broke
    position bigint not null,                   -- the last event the task caused
    at timestamptz not null,
    primary key (project, task)
);
create index tasks_newest on tasks (project, submitted_position desc);
create index tasks_by_time on tasks (project, submitted_at desc);
create index tasks_by_status on tasks (project, status, submitted_at desc);

create table task_roles (
    project text not null,
    task text not null,
    role text not null,
    ordinal integer not null default 0,         -- the place in the plan; the orchestrator stands before it
    status text not null,                       -- waiting, requested, working, completed, failed
    agent text not null default '',
    needs text[] not null default '{}',
    tool_calls integer not null default 0,
    tools_returned integer not null default 0,
    tools_failed integer not null default 0,
    tools_could_not_run integer not null default 0,
    tools_not_applicable integer not null default 0,
    errors integer not null default 0,          -- failed tool runs and failed completions
    artifacts integer not null default 0,
    activity text not null default '',          -- what it is doing now
    assigned_at timestamptz,
    delivered_at timestamptz,
    seconds double precision generated always as (extract(epoch from delivered_at - assigned_at)) stored,
    summary text not null default '',
    position bigint not null,
    at timestamptz not null,
    primary key (project, task, role)
);
create index task_roles_newest on task_roles (project, at desc, position desc);
create index task_roles_of_agent on task_roles (project, agent, at desc, position desc);
create index task_roles_of_status on task_roles (project, status, at desc, position desc);

create table task_artifacts (
    project text not null,
    task text not null,
    role text not null,
    path text not null,
    ordinal integer not null,                   -- the place in the delivery; the report is first
    media_type text not null,
    sha256 text not null,
    size_bytes bigint not null,
    position bigint not null,                   -- the delivery
    at timestamptz not null,
    primary key (project, task, role, path)
);
create index task_artifacts_newest on task_artifacts (project, position desc);

create table task_event_counts (
    project text not null,
    task text not null,
    type text not null,
    events bigint not null,
    position bigint not null,
    at timestamptz not null,
    primary key (project, task, type)
);
