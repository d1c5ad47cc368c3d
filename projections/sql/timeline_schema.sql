create table timeline (
    project text not null,
    correlation text not null,
    kind text not null,
    name text not null,
    version bigint not null,
    type text not null,
    causation text not null,
    position bigint not null,
    at timestamptz not null,
    primary key (project, correlation, position)
);
create index timeline_newest on timeline (project, at desc, position desc);
