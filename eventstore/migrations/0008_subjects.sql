-- Erasure: a key for each data subject, wrapped by a master key that is not in the database.

create table master_keys (
    id text primary key,               -- names a key, tells nothing of it
    adopted_at timestamptz not null default clock_timestamp(),
    retired_at timestamptz             -- since then it wraps no new key
);
create unique index master_keys_current on master_keys ((true)) where retired_at is null;

create table subject_keys (
    id text primary key,
    project text not null,
    subject bytea not null,            -- a hash of the subject's id; empty: the project's own key
    master text not null references master_keys,
    wrapped bytea,                     -- the key under that master key; null once forgotten
    created_at timestamptz not null default clock_timestamp(),
    forgotten_at timestamptz,
    check ((wrapped is null) = (forgotten_at is not null)),
    check (forgotten_at is null or subject <> '')
);
create unique index subject_keys_current on subject_keys (project, subject) where forgotten_at is null;
create index subject_keys_forgotten on subject_keys (project, subject, forgotten_at) where forgotten_at is not null;
create index subject_keys_age on subject_keys (project, created_at, id);
create index subject_keys_master on subject_keys (master, id) where wrapped is not null;

create function adopt_master(p_id text) returns text
language plpgsql volatile as $$
begin
    insert into master_keys (id) select p_id where not exists (select from master_keys where retired_at is null)
        on conflict do nothing;
    return (select id from master_keys where retired_at is null);
end
$$;

-- The row lock of the old master waits for keys that are being added under it; add_subject_keys then meets the new one.
create function change_master(p_current text, p_to text) returns void
language plpgsql volatile as $$
declare
    found_id text;
begin
    select id into found_id from master_keys where retired_at is null for update;
    if found_id = p_to then
        return;
    end if;
    if found_id is distinct from p_current then
        raise exception 'the current master key is %, not %', found_id, p_current using errcode = 'P0410';
    end if;
    update master_keys set retired_at = clock_timestamp() where id = p_current;
    insert into master_keys (id) values (p_to) on conflict (id) do update set retired_at = null;
end
$$;

-- Gives a lost master key up: the projects' own keys under it go, and the next one is adopted like the first. Answers how
-- many subjects' keys are still wrapped under it; while there are any, nothing is changed.
create function abandon_master(p_id text) returns bigint
language plpgsql volatile as $$
declare
    left_over bigint;
begin
    perform from master_keys where id = p_id and retired_at is null for update;
    if not found then
        raise exception 'the master key % is not the current one', p_id using errcode = 'P0410';
    end if;
    select count(*) into left_over from subject_keys where wrapped is not null and subject <> '';
    if left_over = 0 then
        delete from subject_keys where subject = '';
        update master_keys set retired_at = clock_timestamp() where id = p_id;
    end if;
    return left_over;
end
$$;

-- The current key of each project and subject: the given one, or another that was there first.
create function add_subject_keys(p_master text, k_id text[], k_project text[], k_subject bytea[], k_wrapped bytea[])
returns setof subject_keys
language plpgsql volatile as $$
begin
    perform from master_keys where id = p_master and retired_at is null for share;
    if not found then
        raise exception 'the master key % is not the current one', p_master using errcode = 'P0410';
    end if;
    -- In one order, so that two who add the same subjects wait for one another instead of both.
    insert into subject_keys (id, project, subject, master, wrapped)
        select k.id, k.project, k.subject, p_master, k.wrapped
        from unnest(k_id, k_project, k_subject, k_wrapped) as k(id, project, subject, wrapped)
        order by k.project, k.subject
        on conflict (project, subject) where forgotten_at is null do nothing;
    return query
        select s.* from unnest(k_project, k_subject) as k(project, subject)
        join subject_keys s on s.project = k.project and s.subject = k.subject and s.forgotten_at is null;
end
$$;

-- Destroys a key and says so in the log, in one transaction under the log's lock. Position 0: it was forgotten before;
-- no row: the project has no such key.
create function forget_subject(
    p_project text, p_id text, p_tag text, p_at timestamptz, p_correlation text, p_causation text, p_body bytea
) returns table (event_position bigint, forgotten timestamptz)
language plpgsql volatile as $$
declare
    key subject_keys;
    stream bigint;
    stands bigint;
    head bigint;
begin
    perform lock_log();
    select * into key from subject_keys k where k.id = p_id and k.project = p_project and k.subject <> '' for update;
    if key.id is null then
        return;
    end if;
    if key.forgotten_at is not null then
        return query select 0::bigint, key.forgotten_at;
        return;
    end if;
    update subject_keys k set wrapped = null, forgotten_at = clock_timestamp() where k.id = p_id
        returning k.forgotten_at into key.forgotten_at;
    -- Fenced: no plain append can pretend that a subject was forgotten.
    insert into streams as s (project, kind, name, version, fenced) values (p_project, 'subject', p_id, 1, true)
        on conflict (project, kind, name) do update set version = s.version + 1, fenced = true
        returning s.id, s.version into stream, stands;
    head := coalesce((select max(e.position) from events e), 0) + 1;
    insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
        values (head, stream, stands, (tag_ids(array[p_tag]))[1], p_at, p_correlation, p_causation, p_body);
    perform seal(head, head, null);
    return query select head, key.forgotten_at;
end
$$;
