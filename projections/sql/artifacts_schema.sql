create table artifacts (
    project text not null,
    task text not null,
    role text not null,
    path text not null,
    ordinal integer not null,                   -- the place in its last delivery; the report is first
    media_type text not null,
    sha256 text not null,
    size_bytes bigint not null,
    versions integer not null,
    first_at timestamptz not null,
    first_position bigint not null,
    position bigint not null,                   -- the last delivery
    at timestamptz not null,
    primary key (project, task, role, path)
);
create index artifacts_newest on artifacts (project, at desc, position desc);
create index artifacts_of_role on artifacts (project, role, at desc, position desc);

create table artifact_versions (
    project text not null,
    task text not null,
    role text not null,
    path text not null,
    media_type text not null,
    sha256 text not null,
    size_bytes bigint not null,
    position bigint not null,                   -- the delivery
    at timestamptz not null,
    primary key (project, task, role, path, position)
);
create index artifact_versions_newest on artifact_versions (project, at desc, position desc);
