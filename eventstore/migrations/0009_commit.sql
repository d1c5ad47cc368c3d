-- The usual commit, where nothing loses: everything is written as if it had won, and what the writes themselves report
-- (rows touched, a key already taken) shows whether it has. If not, nothing has happened and the answer is null: the
-- caller then asks `commit_batch`, which judges. The guarantees are the same: under the log's lock, the fence, the
-- inbox's key, the outbox rows and the streams' versions are each checked by the very statement that moves them on.

-- Long columns travel in one piece each, which both sides take apart much faster than an array of thousands: texts
-- joined by a unit separator (the caller sends none that holds one), numbers as an array's literal, bytes end to end
-- with where each begins (from 1) and how long it is.
create function texts(joined text, count integer) returns text[]
language sql immutable as $$
    select case count when 0 then '{}' when 1 then array[joined] else string_to_array(joined, e'\x1f') end
$$;

create function commit_optimistic(
    owned boolean,   -- by the owner of actors; else nothing may be written to an actor's stream
    p_id integer[], p_epoch bigint[], p_owner uuid[], p_cursor bigint[], p_witness text[],
    -- streams that exist, and the version each must have; then those that must not exist yet
    s_id text, s_expected text, s_events text,
    n_count integer, n_project text, n_kind text, n_name text, n_events text,
    -- e_stream: a stream's id, or -k for the k-th new stream
    e_count integer, e_stream text, e_version text, e_type text, e_at timestamptz[], e_correlation text,
    e_causation text, e_bytes bytea, e_start text, e_length text,
    -- commands that leave an inbox row; c_first: which event (from 1) is their first, 0: none; bytes: headers, then body
    c_count integer, c_project text, c_id text, c_outbox text, c_kind text, c_name text, c_type text, c_sequence text,
    c_outcome text, c_detail text, c_first text, c_events text, c_bytes bytea, c_start text, c_headers text, c_body text,
    accepted bigint[],   -- outbox rows whose commands are settled
    o_project text[], o_kind text[], o_name text[], o_partition integer[], o_key text[], o_sender text[],
    o_type text[], o_at timestamptz[], o_correlation text[], o_causation text[], o_body bytea[],
    x_project text[], x_kind text[], x_name text[], x_key text[],
    t_project text[], t_kind text[], t_name text[], t_partition integer[], t_key text[], t_due timestamptz[],
    t_type text[], t_correlation text[], t_causation text[], t_body bytea[],
    f_project text[], f_kind text[], f_name text[], f_key text[], f_effect_kind text[], f_safety text[],
    f_at timestamptz[], f_correlation text[], f_causation text[], f_body bytea[],
    chain_digest bytea
) returns bigint[]   -- the head before, then the ids of the new streams
language plpgsql volatile as $$
declare
    head bigint;
    touched integer;
    created bigint[] := '{}';
    -- Taken apart before the lock is waited for.
    known_ids constant bigint[] := s_id;
    known_expected constant bigint[] := s_expected;
    known_events constant integer[] := s_events;
    projects constant text[] := texts(c_project, c_count);
    ids constant text[] := texts(c_id, c_count);
    outboxes constant bigint[] := c_outbox;
    kinds constant text[] := texts(c_kind, c_count);
    names constant text[] := texts(c_name, c_count);
    types constant text[] := texts(c_type, c_count);
    sequences constant bigint[] := c_sequence;
    outcomes constant text[] := texts(c_outcome, c_count);
    details constant text[] := texts(c_detail, c_count);
    firsts constant integer[] := c_first;
    counts constant integer[] := c_events;
    command_starts constant integer[] := c_start;
    header_lengths constant integer[] := c_headers;
    body_lengths constant integer[] := c_body;
    streams_of constant bigint[] := e_stream;
    versions constant bigint[] := e_version;
    type_ids constant smallint[] := e_type;
    correlations constant text[] := texts(e_correlation, e_count);
    causations constant text[] := texts(e_causation, e_count);
    starts constant integer[] := e_start;
    lengths constant integer[] := e_length;
begin
    perform lock_log();
    select coalesce(max(position), 0) into head from events;

    begin
        -- In here: rows that are locked outside of the block and updated inside of it cost a multixact each time.
        perform from partitions where id = any (p_id) order by id for update;
        select count(*) into touched from unnest(p_id, p_epoch, p_owner) as claimed(id, epoch, owner)
            join partitions using (id, epoch, owner);
        if touched < cardinality(p_id) then
            return null;
        end if;

        if c_count > 0 then
            insert into inbox (project, id, outbox, kind, name, type, sequence, outcome, detail, first_position, events,
                               headers, body)
                select c.project, c.id, c.outbox, c.kind, c.name, c.type, c.sequence, c.outcome, c.detail,
                       case when c.first > 0 then head + c.first else 0 end, c.events,
                       substr(c_bytes, c.start, c.headers), substr(c_bytes, c.start + c.headers, c.body)
                -- In the select list: an unnest in the from clause stores each of its columns first.
                from (select unnest(projects) as project, unnest(ids) as id, unnest(outboxes) as outbox,
                             unnest(kinds) as kind, unnest(names) as name, unnest(types) as type,
                             unnest(sequences) as sequence, unnest(outcomes) as outcome, unnest(details) as detail,
                             unnest(firsts) as first, unnest(counts) as events, unnest(command_starts) as start,
                             unnest(header_lengths) as headers, unnest(body_lengths) as body) c;
        end if;
        if cardinality(accepted) > 0 then
            delete from outbox where id = any (accepted);
            get diagnostics touched = row_count;
            if touched < cardinality(accepted) then
                raise exception using errcode = 'P0409';
            end if;
        end if;
        if cardinality(known_ids) > 0 then
            update streams s set version = s.version + u.events, fenced = owned
                from (select unnest(known_ids) as id, unnest(known_expected) as expected,
                             unnest(known_events) as events) u
                where s.id = u.id and s.version = u.expected and (owned or not s.fenced);
            get diagnostics touched = row_count;
            if touched < cardinality(known_ids) then
                raise exception using errcode = 'P0409';
            end if;
        end if;
        if n_count > 0 then
            created := array(select nextval(pg_get_serial_sequence('streams', 'id')) from generate_series(1, n_count));
            insert into streams (id, project, kind, name, version, fenced) overriding system value
                select n.id, n.project, n.kind, n.name, n.events, owned
                from unnest(created, texts(n_project, n_count), texts(n_kind, n_count), texts(n_name, n_count),
                            n_events::integer[])
                     as n(id, project, kind, name, events);
        end if;
        if e_count > 0 then
            insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
                select e.position, case when e.stream > 0 then e.stream else created[-e.stream] end, e.version,
                       e.type, e.at, e.correlation, e.causation, substr(e_bytes, e.start, e.length)
                from (select generate_series(head + 1, head + e_count) as position, unnest(streams_of) as stream,
                             unnest(versions) as version, unnest(type_ids) as type, unnest(e_at) as at,
                             unnest(correlations) as correlation, unnest(causations) as causation,
                             unnest(starts) as start, unnest(lengths) as length) e;
            perform seal(head + 1, head + e_count, chain_digest);
        end if;
        if cardinality(o_key) > 0 then
            insert into outbox (project, kind, name, partition, key, sender, type, at, correlation, causation, body)
                select unnest(o_project), unnest(o_kind), unnest(o_name), unnest(o_partition), unnest(o_key),
                       unnest(o_sender), unnest(o_type), unnest(o_at), unnest(o_correlation), unnest(o_causation),
                       unnest(o_body);
        end if;
        if cardinality(x_key) > 0 then
            delete from timers t using unnest(x_project, x_kind, x_name, x_key) as x(project, kind, name, key)
                where t.project = x.project and t.kind = x.kind and t.name = x.name and t.key = x.key;
        end if;
        if cardinality(t_key) > 0 then
            insert into timers (project, kind, name, key, partition, due, type, correlation, causation, body)
                select t.project, t.kind, t.name, t.key, t.partition, t.due, t.type, t.correlation, t.causation, t.body
                from unnest(t_project, t_kind, t_name, t_partition, t_key, t_due, t_type, t_correlation, t_causation,
                            t_body)
                     as t(project, kind, name, partition, key, due, type, correlation, causation, body)
                on conflict (project, kind, name, key) do update
                    set due = excluded.due, type = excluded.type, correlation = excluded.correlation,
                        causation = excluded.causation, body = excluded.body;
        end if;
        if cardinality(f_key) > 0 then
            insert into effects (project, key, kind, name, effect_kind, safety, at, correlation, causation, body)
                select f.project, f.key, f.kind, f.name, f.effect_kind, f.safety, f.at, f.correlation, f.causation,
                       f.body
                from unnest(f_project, f_kind, f_name, f_key, f_effect_kind, f_safety, f_at, f_correlation,
                            f_causation, f_body)
                     as f(project, kind, name, key, effect_kind, safety, at, correlation, causation, body);
        end if;
        update partitions p set cursor = claimed.cursor, witness = claimed.witness
            from unnest(p_id, p_cursor, p_witness) as claimed(id, cursor, witness)
            where p.id = claimed.id and (p.cursor <> claimed.cursor or p.witness <> claimed.witness);
    exception
        when unique_violation or sqlstate 'P0409' then
            return null;   -- Something would have lost: the block above never happened.
    end;
    return head || created;
end
$$;

-- Every commit moves the version of each stream it writes to and the cursor of its partitions: room on the page keeps
-- those updates from touching any index.
alter table streams set (fillfactor = 60);
alter table partitions set (fillfactor = 30);

-- Rows come and go: what is dead is cleared by its number, not as a share of a table that is nearly empty at rest.
alter table outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
alter table effects set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
alter table timers set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
