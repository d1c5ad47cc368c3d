-- One row a call of a tool. A run that never returned stays `running`.
create table tool_runs (
    project text not null,
    call text not null,                         -- the event of the call
    task text not null,
    role text not null,
    tool text not null,
    request text not null,                      -- the role's own name for the call
    status text not null,                       -- running, ok, not_applicable, could_not_run, failed
    run_us bigint not null,                     -- the tool's own wall time in microseconds
    findings bigint not null,
    sandbox text not null,
    summary text not null,
    called_at timestamptz,
    returned_at timestamptz,
    position bigint not null,
    at timestamptz not null,
    seconds double precision generated always as (run_us / 1e6) stored,
    primary key (project, call)
);
create index tool_runs_latest on tool_runs (project, at desc, position desc);
create index tool_runs_of_task on tool_runs (project, task, at desc, position desc);
create index tool_runs_of_role on tool_runs (project, role, at desc, position desc);
create index tool_runs_of_tool on tool_runs (project, tool, at desc, position desc);
create index tool_runs_of_status on tool_runs (project, status, at desc, position desc);
create index tool_runs_failed on tool_runs (project, at desc, position desc)
    where status in ('could_not_run', 'failed');

create table tool_totals (
    project text not null,
    tool text not null,
    runs bigint not null,                       -- calls
    ok bigint not null,
    not_applicable bigint not null,
    could_not_run bigint not null,
    failed bigint not null,
    run_us bigint not null,                     -- of all runs, in microseconds
    run_max_us bigint not null,
    findings bigint not null,
    position bigint not null,
    at timestamptz not null,
    running bigint generated always as (runs - ok - not_applicable - could_not_run - failed) stored,
    seconds double precision generated always as (run_us / 1e6) stored,
    seconds_max double precision generated always as (run_max_us / 1e6) stored,
    primary key (project, tool)
);
