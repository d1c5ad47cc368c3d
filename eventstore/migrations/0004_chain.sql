-- Format 2 of the chain (chain.py has both): marks name the event that was changed, the root covers the whole row.

-- Microseconds since 1970, as every digest holds a time.
create function microseconds(at timestamptz) returns bigint
language sql immutable as $$ select (extract(epoch from at) * 1000000)::bigint $$;

alter table commits
    add column format smallint not null default 1,
    add column marks bytea not null default '';

-- What is there is of format 1, whose root does not cover its time: these marks do.
update commits set marks = substr(sha256('troupe.link.1'::bytea || root || int8send(microseconds(at))), 1, 8);

-- The log is read by the time at which it took a commit.
create index commits_at on commits (at, last_position);

-- The digest of a range of events, read back from the log, then its marks: what chain.py makes before they are sent.
-- `offset 0` keeps the look-ups look-ups, and hashes each event once.
create function digest_and_marks(from_position bigint, to_position bigint) returns bytea
language sql stable as $$
    select sha256(string_agg(leaf, ''::bytea order by position))
           || string_agg(substr(leaf, 1, 8), ''::bytea order by position)
    from (
        select e.position, sha256(
            int8send(e.version) || int8send(microseconds(e.at))
            || framed(s.project) || framed(s.kind) || framed(s.name) || framed(t.tag)
            || framed(e.correlation) || framed(e.causation) || int4send(octet_length(e.body)) || e.body) as leaf
        from events e,
             lateral (select project, kind, name from streams where id = e.stream_id offset 0) s,
             lateral (select tag from event_types where id = e.type_id offset 0) t
        where e.position between from_position and to_position
        offset 0) leaves
$$;

create function link_root(
    previous bytea, from_position bigint, to_position bigint, at timestamptz, digest bytea, marks bytea
) returns bytea
language sql immutable as $$
    select sha256('troupe.link.2'::bytea || coalesce(previous, decode(repeat('00', 32), 'hex'))
                  || int8send(from_position) || int8send(to_position) || int8send(microseconds(at)) || digest || marks)
$$;

-- Links a commit's events into the chain, as taken at `at` or, if that is before the link before, then. Call it under the
-- log's lock. `digest` is the digest and the marks of these events, made before they were sent; anything else (null: not
-- known beforehand; 32 bytes: from code that knows only format 1) is made anew from the log.
create function seal_at(from_position bigint, to_position bigint, digest bytea, at timestamptz) returns void
language plpgsql volatile as $$
declare
    before record;
    marks bytea;
begin
    select c.root, c.at into before from commits c order by c.last_position desc limit 1;
    if digest is null or octet_length(digest) <> 32 + 8 * (to_position - from_position + 1) then
        digest := digest_and_marks(from_position, to_position);
    end if;
    marks := substr(digest, 33);
    digest := substr(digest, 1, 32);
    at := greatest(before.at, at);
    insert into commits (format, first_position, last_position, at, digest, marks, root)
        values (2, from_position, to_position, at, digest, marks,
                link_root(before.root, from_position, to_position, at, digest, marks));
end
$$;

-- Links a commit's events into the chain and rings for the readers. Call it under the log's lock.
create or replace function seal(from_position bigint, to_position bigint, digest bytea) returns void
language plpgsql volatile as $$
begin
    perform seal_at(from_position, to_position, digest, clock_timestamp());
    perform pg_notify(current_schema() || '_log', to_position::text);
end
$$;

-- The last position that the log had taken before that time.
create function position_before(t timestamptz) returns bigint
language sql stable as $$
    select coalesce((select c.last_position from commits c where c.at < t order by c.at desc, c.last_position desc limit 1), 0)
$$;

-- For code from before format 2, which compares every link with these two: they answer in the format of the link that
-- ends there.
alter function digest_of(bigint, bigint) rename to digest_of_format_1;
create function digest_of(from_position bigint, to_position bigint) returns bytea
language sql stable as $$
    select case when exists (select from commits where last_position = to_position and format = 1)
                then digest_of_format_1(from_position, to_position)
                else substr(digest_and_marks(from_position, to_position), 1, 32) end
$$;
alter function link_root(bytea, bigint, bigint, bytea) rename to link_root_format_1;
create function link_root(previous bytea, from_position bigint, to_position bigint, digest bytea) returns bytea
language sql stable as $$
    select coalesce(
        (select link_root(previous, from_position, to_position, c.at, digest, c.marks)
         from commits c where c.last_position = to_position and c.format > 1),
        link_root_format_1(previous, from_position, to_position, digest))
$$;

-- History from elsewhere, in one commit. The session has staged it in its temporary table `staged_events`, so that it
-- holds the log's lock for one call and never while a client thinks. The arrays have one element a stream, in which
-- events find theirs by subscript; `digest` counts if the streams are still at `s_version`.
create function append_staged(
    s_project text[], s_kind text[], s_name text[], s_version bigint[], s_events bigint[], tags text[], digest bytea
) returns bigint
language plpgsql volatile as $$
declare
    taken text;
    ids bigint[];
    versions bigint[];
    type_ids smallint[];
    head bigint;
    written bigint;
begin
    perform lock_log();
    insert into streams (project, kind, name, fenced)
        select n.project, n.kind, n.name, false from unnest(s_project, s_kind, s_name) as n(project, kind, name)
        where not exists (select from streams s where s.project = n.project and s.kind = n.kind and s.name = n.name);
    select array_agg(s.id order by u.n), array_agg(s.version order by u.n),
           min(u.project || '/' || u.kind || '/' || u.name) filter (where s.fenced)
        into ids, versions, taken
        from unnest(s_project, s_kind, s_name) with ordinality as u(project, kind, name, n),
             lateral (select s.id, s.version, s.fenced from streams s
                      where s.project = u.project and s.kind = u.kind and s.name = u.name offset 0) s;
    if taken is not null then
        raise exception 'the stream % belongs to an actor; import into another one', taken using errcode = 'P0001';
    end if;
    type_ids := tag_ids(tags);
    select coalesce(max(position), 0) into head from events;
    insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
        select head + e.n, ids[e.stream], versions[e.stream] + e.nth, type_ids[e.tag], e.at, e.correlation, e.causation,
               e.body
        from staged_events e order by e.n;
    get diagnostics written = row_count;
    update streams s set version = s.version + u.events from unnest(ids, s_events) as u(id, events) where s.id = u.id;
    perform seal(head + 1, head + written, case when versions = s_version then digest end);
    return head + written;
end
$$;

-- A log from its archive, exactly: positions, versions, links. The session has staged it in its temporary tables
-- `staged_log` and `staged_commits`, and has seen that it is whole.
create function restore_staged() returns bigint
language plpgsql volatile as $$
declare
    head bigint;
begin
    perform lock_log();
    if exists (select from streams) or exists (select from commits) then
        raise exception 'the log is not empty' using errcode = 'P0412';
    end if;
    insert into streams (project, kind, name, version, fenced)
        select l.project, l.kind, l.name, max(l.version), bool_or(l.fenced)
        from staged_log l group by l.project, l.kind, l.name order by min(l.position);
    perform tag_ids(array(select distinct l.type from staged_log l));
    insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
        select l.position, s.id, l.version, t.id, l.at, l.correlation, l.causation, l.body
        from staged_log l join streams s using (project, kind, name) join event_types t on t.tag = l.type
        order by l.position;
    insert into commits (format, first_position, last_position, at, digest, marks, root)
        select c.format, c.first_position, c.last_position, c.at, c.digest, c.marks, c.root from staged_commits c
        order by c.last_position;
    select coalesce(max(last_position), 0) into head from commits;
    perform pg_notify(current_schema() || '_log', head::text);
    return head;
end
$$;
