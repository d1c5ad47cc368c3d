-- What is known of a view besides where it stands. `build` changes whenever other tables take the place of the view's,
-- so that nobody goes on with rows of the ones before.
alter table views
    add column build bigint not null default 0,
    add column verified_at timestamptz,              -- the last comparison with a fold aside, of this build
    add column verified_position bigint,
    add column verified_differences bigint;

create sequence view_builds;

-- Streams that a view leaves out, from the event on that it could not fold. `view` is the name of a row in `views`.
create table view_quarantines (
    view text not null,
    project text not null,
    kind text not null,
    name text not null,
    first_position bigint not null,
    reason text not null,
    events bigint not null,                          -- that were left out
    position bigint not null,                        -- the last of them
    at timestamptz not null,
    primary key (view, project, kind, name)
);

-- Ranges of the log that are folded side by side into tables of their own, to be put together in this order. The row
-- `<view>.next.<number>` in `views` says how far each is.
create table view_ranges (
    view text not null,
    number integer not null,
    first_position bigint not null,
    last_position bigint not null,
    primary key (view, number)
);
