create table task_history (
    project text not null,
    task text not null,
    happened text not null,                     -- see projections/task_history.py
    role text not null,
    agent text not null,
    detail text not null,                       -- names, outcomes and numbers only
    event text not null,                        -- its reference
    causation text not null,
    position bigint not null,
    at timestamptz not null,
    primary key (project, task, position)
);
create index task_history_newest on task_history (project, at desc, position desc);
create index task_history_failed on task_history (project, at desc, position desc)
    where happened in ('completion_failed', 'failed', 'quarantined');
