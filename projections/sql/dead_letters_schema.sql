-- One row a command that broke its actor, whatever became of it.
create table dead_letters (
    project text not null,
    kind text not null,                         -- of the actor
    name text not null,
    id text not null,                           -- of the command
    command_type text not null,
    error text not null,
    task text not null,                         -- what the command belonged to
    state text not null,                        -- parked, retried, dropped
    times bigint not null,                      -- how often it broke its actor
    quarantined_at timestamptz,                 -- the last time of these
    quarantined_position bigint not null,
    released_at timestamptz,
    by text not null,                           -- who had it retried or dropped
    late boolean not null,
    position bigint not null,
    at timestamptz not null,
    primary key (project, kind, name, id)
);
create index dead_letters_latest on dead_letters (project, at desc, position desc);
create index dead_letters_of_state on dead_letters (project, state, at desc, position desc);
create index dead_letters_of_task on dead_letters (project, task, at desc, position desc);
