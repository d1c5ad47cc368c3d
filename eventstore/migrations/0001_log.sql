-- The log, its fences, and everything that becomes true in the same commit. Runs with search_path set to the
-- installation's own schema, so no name is qualified.

create table event_types (
    id smallint generated always as identity primary key,
    tag text not null unique
);

create table streams (
    id bigint generated always as identity primary key,
    project text not null,
    kind text not null,
    name text not null,
    version bigint not null default 0,
    fenced boolean not null,           -- an actor's stream: only fenced commits may write it
    unique (project, kind, name)
);

-- Hot: nothing but the order of the log and the reading of one stream is indexed.
create table events (
    position bigint primary key,
    stream_id bigint not null,
    version bigint not null,
    type_id smallint not null,
    at timestamptz not null,
    correlation text not null,
    causation text not null,
    body bytea not null,
    unique (stream_id, version)
);

-- One row a commit: the chain over its events' exact bytes (see chain.py for the format).
create table commits (
    last_position bigint primary key,
    first_position bigint not null,
    at timestamptz not null default clock_timestamp(),
    digest bytea not null,
    root bytea not null
);

create table partitions (
    id integer primary key,
    epoch bigint not null default 0,
    owner uuid,
    expires_at timestamptz not null default '-infinity',
    cursor bigint not null default 0,   -- every command up to this sequence of COMMANDS is settled
    witness text not null default ''    -- the id of the message at the cursor: tells a recreated stream from ours
);

-- External commands and effect outcomes, with their bytes: repetition, audit and fork read it. An outcome keeps its
-- outbox id in the key, so that nobody outside can take its place by guessing its name.
create table inbox (
    project text not null,
    id text not null,
    outbox bigint not null,                -- 0: an external command
    kind text not null,
    name text not null,
    type text not null,
    sequence bigint not null,
    at timestamptz not null default clock_timestamp(),
    outcome text not null,
    detail text not null,
    first_position bigint not null,
    events integer not null,
    headers bytea not null,
    body bytea not null,
    primary key (project, id, outbox)
);

-- The row is the message; its receiver's commit accepts it by deleting it.
create table outbox (
    id bigint generated always as identity primary key,
    project text not null,
    kind text not null,
    name text not null,
    partition integer not null,
    key text not null,
    sender text not null,
    type text not null,
    at timestamptz not null,
    written_at timestamptz not null default clock_timestamp(),
    correlation text not null,
    causation text not null,
    outcome_of text not null default '',   -- the effect this answers; '' for a plain send
    body bytea not null
);
create index outbox_receiver on outbox (project, kind, name, id);

create table timers (
    id bigint generated always as identity,   -- names the firing
    project text not null,
    kind text not null,
    name text not null,
    key text not null,
    partition integer not null,
    due timestamptz not null,
    type text not null,
    correlation text not null,
    causation text not null,
    body bytea not null,
    primary key (project, kind, name, key)
);
create index timers_due on timers (due, id);

create table effects (
    project text not null,
    key text not null,
    kind text not null,
    name text not null,
    effect_kind text not null,
    safety text not null,
    at timestamptz not null,
    correlation text not null,
    causation text not null,
    due timestamptz not null default clock_timestamp(),
    attempts integer not null default 0,
    worker uuid,
    claim uuid,
    claimed_until timestamptz,
    body bytea not null,
    primary key (project, key)
);
create index effects_age on effects (at, key);

create table blobs (
    project text not null,
    sha256 bytea not null,
    content bytea not null,
    primary key (project, sha256)
);

-- Where each projection stands; its rows move in the same transaction.
create table views (
    name text primary key,
    version integer not null,
    position bigint not null
);

create view log as
    select e.position, s.project, s.kind, s.name, e.version, t.tag as type, e.at, e.correlation, e.causation,
           convert_from(e.body, 'UTF8')::jsonb as body
    from events e join streams s on s.id = e.stream_id join event_types t on t.id = e.type_id;
