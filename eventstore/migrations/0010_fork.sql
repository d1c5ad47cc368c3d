-- Forks. A fork is a schema of its own with the log of another one up to a position; the rows here say so. In an original
-- these tables are empty.

create table fork (
    single boolean primary key default true check (single),
    origin text not null,                 -- the schema it was made from
    keys text not null,                   -- the schema whose subject keys open its sealed text: the first original
    position bigint not null,
    at timestamptz not null,              -- when that position was committed
    live boolean not null,                -- effects of which nothing is recorded are performed
    created_at timestamptz not null default clock_timestamp(),
    resumed_at timestamptz                -- when it was first run
);

-- What effects came to in the original after the position; read by whoever would have to perform the same work again.
create table recorded_outcomes (
    project text not null,
    key text not null,
    work bytea,                           -- SHA-256 of the work; null only while the fork is being made
    type text not null,
    body bytea not null,
    primary key (project, key)
);

-- The order in which the original's actors took their commands after the position.
create table score (
    project text not null,
    kind text not null,
    name text not null,
    version bigint not null,
    causation text not null,
    primary key (project, kind, name, version)
);
