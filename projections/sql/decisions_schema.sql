create table decisions (
    project text not null,
    what text not null,                         -- plan, agent, verdict, company, task, retry, drop, forget
    task text not null,
    role text not null,
    by text not null,                           -- the kind of the actor; a person's pseudonymous id for retry and drop
    subject text not null,                      -- whom or what it is about
    outcome text not null,
    reason text not null,
    facts jsonb not null,                       -- what it rests on
    score double precision,                     -- of the chosen agent
    event text not null,                        -- its reference
    causation text not null,
    position bigint not null,
    at timestamptz not null,
    primary key (project, position)
);
create index decisions_newest on decisions (project, at desc, position desc);
create index decisions_of_task on decisions (project, task, at desc, position desc);
create index decisions_of_what on decisions (project, what, at desc, position desc);
