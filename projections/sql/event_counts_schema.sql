create table event_counts (
    project text not null,
    kind text not null,                         -- of the stream
    type text not null,
    events bigint not null,
    position bigint not null,                   -- the last of them
    at timestamptz not null,
    primary key (project, kind, type)
);
