create table event_counts (
    project text not null,
    kind text not null,                         -- of the stream
    type text not null,
    events bigint not null,
    last_at timestamptz not null,               -- the time the last event carries
    last_position bigint not null,
    primary key (project, kind, type)
);
