-- What a commit carries besides events: deadlines of the commands it settles, asks that are answered later, and actors
-- that are parked. Few commits have any of it; those that have go through the functions below, which do all the rest by
-- the functions there were.

create table asks (
    project text not null,
    id text not null,                  -- of the command that asked
    kind text not null,
    name text not null,
    partition integer not null,
    reply_to text not null,
    deadline timestamptz not null,
    correlation text not null,
    answer bytea,                      -- null: open; empty: its deadline came first
    primary key (project, id)
);
create index asks_open on asks (deadline, id) where answer is null;
create index asks_ended on asks (deadline) where answer is not null;

create table parked_actors (
    project text not null,
    kind text not null,
    name text not null,
    partition integer not null,
    reason text not null,
    at timestamptz not null default clock_timestamp(),
    position bigint not null,          -- from which position on the log says so; a fork before it does not have the row
    primary key (project, kind, name)
);
create index parked_actors_partition on parked_actors (partition);

create table parked_commands (
    id bigint generated always as identity primary key,   -- in the order in which they came
    project text not null,
    kind text not null,
    name text not null,
    partition integer not null,
    key text not null,                 -- the command's id
    type text not null,
    at timestamptz not null,
    correlation text not null,
    deadline timestamptz,
    reply_to text not null,
    position bigint not null,          -- as that of a parked actor
    headers bytea not null,
    body bytea not null
);
create index parked_commands_actor on parked_commands (project, kind, name, id);

-- The usual commit as in 0009_commit.sql, with what has come since: the deadlines of commands, asks, answers, and sends in
-- one piece a column. A column whose values are all the same may come as that one value. The other stays, for old code.
create function commit_optimistic(
    p_deadline timestamptz,   -- right only until then; null: for ever
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
    o_count integer, o_project text, o_kind text, o_name text, o_partition text, o_key text, o_sender text, o_type text,
    o_at timestamptz[], o_correlation text, o_causation text, o_bytes bytea, o_start text, o_length text,
    x_project text[], x_kind text[], x_name text[], x_key text[],
    t_project text[], t_kind text[], t_name text[], t_partition integer[], t_key text[], t_due timestamptz[],
    t_type text[], t_correlation text[], t_causation text[], t_body bytea[],
    f_project text[], f_kind text[], f_name text[], f_key text[], f_effect_kind text[], f_safety text[],
    f_at timestamptz[], f_correlation text[], f_causation text[], f_body bytea[],
    -- asks that are opened, and answers to any
    a_project text[], a_id text[], a_kind text[], a_name text[], a_partition integer[], a_reply_to text[],
    a_deadline timestamptz[], a_correlation text[],
    r_project text[], r_ask text[], r_body bytea[],
    chain_digest bytea
) returns bigint[]   -- the head before, then the ids of the new streams
language plpgsql volatile as $$
declare
    head bigint;
    touched integer;
    created bigint[] := '{}';
    numbers_of_streams regclass;
    number bigint;   -- One for all rows of the inbox: they are of one commit.
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
    new_projects constant text[] := texts(n_project, n_count);
    new_kinds constant text[] := texts(n_kind, n_count);
    new_names constant text[] := texts(n_name, n_count);
    new_counts constant integer[] := n_events;
    streams_of constant bigint[] := e_stream;
    versions constant bigint[] := e_version;
    type_ids constant smallint[] := e_type;
    correlations constant text[] := texts(e_correlation, e_count);
    causations constant text[] := texts(e_causation, e_count);
    starts constant integer[] := e_start;
    lengths constant integer[] := e_length;
    to_projects constant text[] := texts(o_project, o_count);
    to_kinds constant text[] := texts(o_kind, o_count);
    to_names constant text[] := texts(o_name, o_count);
    to_partitions constant integer[] := o_partition;
    keys constant text[] := texts(o_key, o_count);
    senders constant text[] := texts(o_sender, o_count);
    sent_types constant text[] := texts(o_type, o_count);
    sent_correlations constant text[] := texts(o_correlation, o_count);
    sent_causations constant text[] := texts(o_causation, o_count);
    sent_starts constant integer[] := o_start;
    sent_lengths constant integer[] := o_length;
begin
    perform lock_log();
    if clock_timestamp() > p_deadline then
        return null;   -- The clock is read when the turn has come.
    end if;
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
            number := nextval(pg_get_serial_sequence('inbox', 'n'));
            insert into inbox (project, id, outbox, kind, name, type, sequence, outcome, detail, first_position, events,
                               headers, body, n)
                select coalesce(c.project, projects[1]), c.id, coalesce(c.outbox, outboxes[1]),
                       coalesce(c.kind, kinds[1]), c.name, coalesce(c.type, types[1], ''), c.sequence,
                       coalesce(c.outcome, outcomes[1]), coalesce(c.detail, details[1], ''),
                       case when c.first > 0 then head + c.first else 0 end, coalesce(c.events, counts[1]),
                       substr(c_bytes, c.start, c.headers), substr(c_bytes, c.start + c.headers, c.body), number
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
                from (select k.id, k.expected, coalesce(k.events, known_events[1]) as events
                      from (select unnest(known_ids) as id, unnest(known_expected) as expected,
                                   unnest(known_events) as events) k) u
                where s.id = u.id and s.version = u.expected and (owned or not s.fenced);
            get diagnostics touched = row_count;
            if touched < cardinality(known_ids) then
                raise exception using errcode = 'P0409';
            end if;
        end if;
        if n_count > 0 then
            numbers_of_streams := pg_get_serial_sequence('streams', 'id');
            created := array(select nextval(numbers_of_streams) from generate_series(1, n_count));
            insert into streams (id, project, kind, name, version, fenced) overriding system value
                select n.id, coalesce(n.project, new_projects[1]), coalesce(n.kind, new_kinds[1]), n.name,
                       coalesce(n.events, new_counts[1]), owned
                from (select unnest(created) as id, unnest(new_projects) as project, unnest(new_kinds) as kind,
                             unnest(new_names) as name, unnest(new_counts) as events) n;
        end if;
        if e_count > 0 then
            insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
                select e.position, case when e.stream > 0 then e.stream else created[-e.stream] end,
                       coalesce(e.version, versions[1]), coalesce(e.type, type_ids[1]), e.at, e.correlation, e.causation,
                       substr(e_bytes, e.start, coalesce(e.length, lengths[1]))
                from (select generate_series(head + 1, head + e_count) as position, unnest(streams_of) as stream,
                             unnest(versions) as version, unnest(type_ids) as type, unnest(e_at) as at,
                             unnest(correlations) as correlation, unnest(causations) as causation,
                             unnest(starts) as start, unnest(lengths) as length) e;
            perform seal(head + 1, head + e_count, chain_digest);
        end if;
        if o_count > 0 then
            insert into outbox (project, kind, name, partition, key, sender, type, at, correlation, causation, body)
                select coalesce(o.project, to_projects[1]), coalesce(o.kind, to_kinds[1]), o.name, o.partition, o.key,
                       o.sender, coalesce(o.type, sent_types[1], ''), o.at, o.correlation, o.causation,
                       substr(o_bytes, o.start, coalesce(o.length, sent_lengths[1]))
                from (select unnest(to_projects) as project, unnest(to_kinds) as kind, unnest(to_names) as name,
                             unnest(to_partitions) as partition, unnest(keys) as key, unnest(senders) as sender,
                             unnest(sent_types) as type, unnest(o_at) as at,
                             unnest(sent_correlations) as correlation, unnest(sent_causations) as causation,
                             unnest(sent_starts) as start, unnest(sent_lengths) as length) o;
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
        if cardinality(a_id) > 0 then
            insert into asks (project, id, kind, name, partition, reply_to, deadline, correlation)
                select unnest(a_project), unnest(a_id), unnest(a_kind), unnest(a_name), unnest(a_partition),
                       unnest(a_reply_to), unnest(a_deadline), unnest(a_correlation)
                on conflict (project, id) do nothing;
        end if;
        if cardinality(r_ask) > 0 then
            update asks set answer = r.body
                from (select distinct on (a.project, a.ask) a.project, a.ask, a.body
                      from unnest(r_project, r_ask, r_body) with ordinality as a(project, ask, body, n)
                      order by a.project, a.ask, a.n) r
                where asks.project = r.project and asks.id = r.ask and asks.answer is null;
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

-- `commit_batch`, and what a unit carries besides. A unit with a command whose deadline has passed is `expired`, unless
-- it is fenced, or known: that it happened before counts more than that it came too late to happen again.
create function commit_judged(
    p_id integer[], p_epoch bigint[], p_owner uuid[], p_cursor bigint[], p_witness text[], u_partition integer[],
    u_project text[], u_kind text[], u_name text[], u_expected bigint[], u_first integer[], u_events integer[],
    g_unit integer[], g_group integer[], g_command text[], c_unit integer[], c_id text[], c_type text[], c_outcome
    text[], c_detail text[], c_outbox bigint[], c_keep boolean[], c_sequence bigint[], c_headers bytea[], c_body
    bytea[], c_first integer[], c_events integer[], tags text[], e_unit integer[], e_tag integer[], e_at
    timestamptz[], e_correlation text[], e_causation text[], e_body bytea[], o_unit integer[], o_key text[], o_kind
    text[], o_name text[], o_partition integer[], o_sender text[], o_type text[], o_at timestamptz[], o_correlation
    text[], o_causation text[], o_body bytea[], t_unit integer[], t_key text[], t_due timestamptz[], t_type text[],
    t_correlation text[], t_causation text[], t_body bytea[], x_unit integer[], x_key text[], f_unit integer[],
    f_key text[], f_kind text[], f_safety text[], f_at timestamptz[], f_correlation text[], f_causation text[],
    f_body bytea[], chain_digest bytea,
    c_deadline timestamptz[],   -- one for each command, null: it has none
    a_unit integer[], a_id text[], a_reply_to text[], a_deadline timestamptz[], a_correlation text[],
    r_unit integer[], r_ask text[], r_body bytea[],
    k_unit integer[], k_kind text[], k_name text[], k_reason text[],
    w_unit integer[], w_kind text[], w_name text[], w_key text[], w_type text[], w_at timestamptz[],
    w_correlation text[], w_deadline timestamptz[], w_reply_to text[], w_headers bytea[], w_body bytea[]
) returns table (unit integer, status text, first_position bigint, known text[])
language plpgsql volatile as $$
#variable_conflict use_column
declare
    moment timestamptz;     -- one for all units
    head bigint;
    late jsonb;             -- unit → ids whose deadlines have passed
    expected bigint[] := u_expected;
    n integer;
    verdicts text[];
    positions bigint[];
    known_ids jsonb;
begin
    perform lock_log();
    moment := clock_timestamp();
    select coalesce(jsonb_object_agg(l.unit, l.ids), '{}') into late from (
        select c.unit, jsonb_agg(c.id order by c.n) as ids
        from unnest(c_unit, c_id, c_deadline) with ordinality as c(unit, id, deadline, n)
        where c.deadline < moment group by c.unit) l;
    for n in select jsonb_object_keys(late) loop
        expected[n] := -1;   -- No stream is there, so the unit loses, and the cursor of its partition stays.
    end loop;
    select array_agg(v.status order by v.unit), array_agg(v.first_position order by v.unit),
           jsonb_object_agg(v.unit, v.known)
        into verdicts, positions, known_ids
        from commit_batch(
            p_id, p_epoch, p_owner, p_cursor, p_witness, u_partition, u_project, u_kind, u_name, expected, u_first,
            u_events, g_unit, g_group, g_command, c_unit, c_id, c_type, c_outcome, c_detail, c_outbox, c_keep,
            c_sequence, c_headers, c_body, c_first, c_events, tags, e_unit, e_tag, e_at, e_correlation, e_causation,
            e_body, o_unit, o_key, o_kind, o_name, o_partition, o_sender, o_type, o_at, o_correlation, o_causation,
            o_body, t_unit, t_key, t_due, t_type, t_correlation, t_causation, t_body, x_unit, x_key, f_unit, f_key,
            f_kind, f_safety, f_at, f_correlation, f_causation, f_body, chain_digest
        ) v;

    select coalesce(max(position), 0) into head from events;
    insert into asks (project, id, kind, name, partition, reply_to, deadline, correlation)
        select u_project[a.unit], a.id, u_kind[a.unit], u_name[a.unit], u_partition[a.unit], a.reply_to, a.deadline,
               a.correlation
        from unnest(a_unit, a_id, a_reply_to, a_deadline, a_correlation)
             as a(unit, id, reply_to, deadline, correlation)
        where verdicts[a.unit] = 'committed'
        on conflict (project, id) do nothing;
    update asks set answer = r.body
        from (select distinct on (u_project[a.unit], a.ask) u_project[a.unit] as project, a.ask, a.body
              from unnest(r_unit, r_ask, r_body) with ordinality as a(unit, ask, body, n)
              where verdicts[a.unit] = 'committed' order by u_project[a.unit], a.ask, a.n) r
        where asks.project = r.project and asks.id = r.ask and asks.answer is null;
    insert into parked_actors (project, kind, name, partition, reason, position)
        select u_project[k.unit], k.kind, k.name, u_partition[k.unit], k.reason,
               case when positions[k.unit] > 0 then positions[k.unit] else head end
        from unnest(k_unit, k_kind, k_name, k_reason) as k(unit, kind, name, reason)
        where verdicts[k.unit] = 'committed'
        on conflict (project, kind, name) do nothing;
    insert into parked_commands (project, kind, name, partition, key, type, at, correlation, deadline, reply_to,
                                 position, headers, body)
        select u_project[w.unit], w.kind, w.name, u_partition[w.unit], w.key, w.type, w.at, w.correlation, w.deadline,
               w.reply_to, case when positions[w.unit] > 0 then positions[w.unit] else head end, w.headers, w.body
        from unnest(w_unit, w_kind, w_name, w_key, w_type, w_at, w_correlation, w_deadline, w_reply_to, w_headers,
                    w_body) with ordinality
             as w(unit, kind, name, key, type, at, correlation, deadline, reply_to, headers, body, n)
        where verdicts[w.unit] = 'committed'
        order by w.n;

    return query
        select v.unit::integer, case when v.lapsed is null then v.status else 'expired' end, v.first_position,
               array(select jsonb_array_elements_text(coalesce(v.lapsed, known_ids -> v.unit::text)))
        from (select c.*, case when c.status = 'conflict' then late -> c.unit::text end as lapsed
              from unnest(verdicts, positions) with ordinality as c(status, first_position, unit)) v
        order by v.unit;
end
$$;

-- An answer may name a blob. (What waits for a parked actor is in the inbox as well.)
create or replace function mark_pending_blobs(since xid) returns void
language sql volatile as $$
    insert into blob_marks (project, sha256)
        select distinct pending.project, digest from (
            select project, body from outbox where since is null or age(xmin) <= age(since)
            union all
            select project, body from timers where since is null or age(xmin) <= age(since)
            union all
            select project, body from effects where since is null or age(xmin) <= age(since)
            union all
            select project, answer from asks where answer is not null and (since is null or age(xmin) <= age(since))
        ) pending, names_in(pending.body) digest
        order by 1, 2 on conflict do nothing
$$;
