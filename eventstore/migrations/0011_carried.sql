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

-- The usual commit, right only until the earliest deadline of its commands: null when that has passed, as when something
-- would have lost.
create function commit_optimistic_until(
    p_deadline timestamptz,
    owned boolean, p_id integer[], p_epoch bigint[], p_owner uuid[], p_cursor bigint[], p_witness text[], s_id text,
    s_expected text, s_events text, n_count integer, n_project text, n_kind text, n_name text, n_events text,
    e_count integer, e_stream text, e_version text, e_type text, e_at timestamptz[], e_correlation text, e_causation
    text, e_bytes bytea, e_start text, e_length text, c_count integer, c_project text, c_id text, c_outbox text,
    c_kind text, c_name text, c_type text, c_sequence text, c_outcome text, c_detail text, c_first text, c_events
    text, c_bytes bytea, c_start text, c_headers text, c_body text, accepted bigint[], o_project text[], o_kind
    text[], o_name text[], o_partition integer[], o_key text[], o_sender text[], o_type text[], o_at timestamptz[],
    o_correlation text[], o_causation text[], o_body bytea[], x_project text[], x_kind text[], x_name text[], x_key
    text[], t_project text[], t_kind text[], t_name text[], t_partition integer[], t_key text[], t_due
    timestamptz[], t_type text[], t_correlation text[], t_causation text[], t_body bytea[], f_project text[], f_kind
    text[], f_name text[], f_key text[], f_effect_kind text[], f_safety text[], f_at timestamptz[], f_correlation
    text[], f_causation text[], f_body bytea[], chain_digest bytea
) returns bigint[]
language plpgsql volatile as $$
begin
    perform lock_log();   -- Whoever waits for it here commits at once: the clock is read when the turn has come.
    if clock_timestamp() > p_deadline then
        return null;
    end if;
    return commit_optimistic(
        owned, p_id, p_epoch, p_owner, p_cursor, p_witness, s_id, s_expected, s_events, n_count, n_project, n_kind,
        n_name, n_events, e_count, e_stream, e_version, e_type, e_at, e_correlation, e_causation, e_bytes, e_start,
        e_length, c_count, c_project, c_id, c_outbox, c_kind, c_name, c_type, c_sequence, c_outcome, c_detail,
        c_first, c_events, c_bytes, c_start, c_headers, c_body, accepted, o_project, o_kind, o_name, o_partition,
        o_key, o_sender, o_type, o_at, o_correlation, o_causation, o_body, x_project, x_kind, x_name, x_key,
        t_project, t_kind, t_name, t_partition, t_key, t_due, t_type, t_correlation, t_causation, t_body, f_project,
        f_kind, f_name, f_key, f_effect_kind, f_safety, f_at, f_correlation, f_causation, f_body, chain_digest
    );
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
