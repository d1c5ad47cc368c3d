-- Counts only: what a memory says is never here.
create table memory_stats (
    project text not null,
    role text not null,
    remembered bigint not null,
    recalls bigint not null,                    -- how often it was asked
    empty bigint not null,                      -- of those, the ones that found nothing
    handed_out bigint not null,                 -- memories that the others found
    remembered_at timestamptz,
    recalled_at timestamptz,
    position bigint not null,
    at timestamptz not null,                    -- the last use
    hit_rate double precision generated always as
        ((recalls - empty)::double precision / nullif(recalls, 0)) stored,
    primary key (project, role)
);

-- The same by subject, whose hash stands for it in the key: a path may be too long for an index.
create table memory_subjects (
    project text not null,
    role text not null,
    subject text not null,                      -- a repository's path, or a topic
    subject_hash text not null,                 -- SHA-256, hex
    remembered bigint not null,
    recalls bigint not null,
    empty bigint not null,
    handed_out bigint not null,
    remembered_at timestamptz,
    recalled_at timestamptz,
    position bigint not null,
    at timestamptz not null,
    hit_rate double precision generated always as
        ((recalls - empty)::double precision / nullif(recalls, 0)) stored,
    primary key (project, role, subject_hash)
);
create index memory_subjects_newest on memory_subjects (project, at desc, position desc);
