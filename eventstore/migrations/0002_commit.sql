create function framed(value text) returns bytea
language sql immutable as $$ select int4send(octet_length(value)) || convert_to(value, 'UTF8') $$;

-- SHA-256 over a range of events, read back from the log; the same bytes as chain.py digests before they are sent.
-- `offset 0` keeps the look-ups look-ups: the planner must never read all streams to digest a few events.
create function digest_of(from_position bigint, to_position bigint) returns bytea
language sql stable as $$
    select sha256(string_agg(
        int8send(e.version) || int8send((extract(epoch from e.at) * 1000000)::bigint)
        || framed(s.project) || framed(s.kind) || framed(s.name) || framed(t.tag)
        || framed(e.correlation) || framed(e.causation) || int4send(octet_length(e.body)) || e.body,
        ''::bytea order by e.position))
    from events e,
         lateral (select project, kind, name from streams where id = e.stream_id offset 0) s,
         lateral (select tag from event_types where id = e.type_id offset 0) t
    where e.position between from_position and to_position
$$;

-- The root of a link: what came before, where the link lies in the log, what it holds.
create function link_root(previous bytea, from_position bigint, to_position bigint, digest bytea) returns bytea
language sql immutable as $$
    select sha256(coalesce(previous, ''::bytea) || int8send(from_position) || int8send(to_position) || digest)
$$;

-- Links a commit's events into the chain and rings for the readers. Call it under the log's lock.
create function seal(from_position bigint, to_position bigint, digest bytea) returns void
language plpgsql volatile as $$
declare
    previous bytea := (select c.root from commits c order by c.last_position desc limit 1);
begin
    digest := coalesce(digest, digest_of(from_position, to_position));
    insert into commits (first_position, last_position, digest, root)
        values (from_position, to_position, digest, link_root(previous, from_position, to_position, digest));
    perform pg_notify(current_schema() || '_log', to_position::text);
end
$$;

-- One writer at a time: what makes positions dense and in commit order.
create function lock_log() returns void
language sql volatile as $$ select pg_advisory_xact_lock(hashtextextended(current_schema() || ':log', 0)) $$;

create function tag_ids(tags text[]) returns smallint[]
language plpgsql volatile as $$
begin
    insert into event_types (tag)
        select distinct wanted.tag from unnest(tags) as wanted(tag)
        where not exists (select from event_types t where t.tag = wanted.tag);
    return array(
        select (select t.id from event_types t where t.tag = wanted.tag)
        from unnest(tags) with ordinality as wanted(tag, n) order by n);
end
$$;

-- The one function that decides. Takes many units in arrays (one element a row; *_unit counts units from 1) and returns
-- a verdict for each. Lock first, then the fence: the reverse can deadlock with a stale owner. Rows are matched to their
-- unit by subscript (verdict[unit]), never by a join: a batch of thousands stays linear.

create function commit_batch(
    p_id integer[], p_epoch bigint[], p_owner uuid[], p_cursor bigint[], p_witness text[],
    -- u_first: the unit's first row among the events (0: none), u_events: how many
    u_partition integer[], u_project text[], u_kind text[], u_name text[], u_expected bigint[],
    u_first integer[], u_events integer[],
    -- units of this batch that want the same stream, or (with its id) the same command: one group number each
    g_unit integer[], g_group integer[], g_command text[],
    -- c_first, c_events: the events this command caused, as for the unit
    c_unit integer[], c_id text[], c_type text[], c_outcome text[], c_detail text[], c_outbox bigint[],
    c_keep boolean[], c_sequence bigint[], c_headers bytea[], c_body bytea[], c_first integer[], c_events integer[],
    tags text[],
    e_unit integer[], e_tag integer[], e_at timestamptz[], e_correlation text[], e_causation text[], e_body bytea[],
    o_unit integer[], o_key text[], o_kind text[], o_name text[], o_partition integer[], o_sender text[],
    o_type text[], o_at timestamptz[], o_correlation text[], o_causation text[], o_body bytea[],
    t_unit integer[], t_key text[], t_due timestamptz[], t_type text[], t_correlation text[], t_causation text[],
    t_body bytea[],
    x_unit integer[], x_key text[],
    f_unit integer[], f_key text[], f_kind text[], f_safety text[], f_at timestamptz[], f_correlation text[],
    f_causation text[], f_body bytea[],
    chain_digest bytea   -- over all events as they will stand if no unit loses; null: not known beforehand
) returns table (unit integer, status text, first_position bigint, known text[])
language plpgsql volatile as $$
#variable_conflict use_column
declare
    units constant integer := cardinality(u_partition);
    verdict text[];         -- by unit
    known_ids jsonb;        -- unit → ids
    stream_ids bigint[];    -- by unit, null: no such stream yet
    versions bigint[];      -- by unit
    twins jsonb;            -- unit → ids that an earlier unit of this batch settles
    type_ids smallint[];    -- by element of tags
    positions bigint[];     -- by event, null: its unit lost
    head bigint;
    written integer;
begin
    perform lock_log();

    -- Fence: epoch and owner token must both be current; a partition nobody vouches for is fenced too.
    perform from partitions where id = any (p_id) order by id for update;
    verdict := array(
        select case when u.partition = any (held.ids) then 'committed' else 'fenced' end
        from unnest(u_partition) with ordinality as u(partition, n), (
            select array(select p.id from unnest(p_id, p_epoch, p_owner) as claimed(id, epoch, owner)
                         join partitions p using (id, epoch, owner)) as ids) held
        order by u.n);

    -- Known: an external command has an inbox row, a send no longer has its outbox row.
    select coalesce(jsonb_object_agg(k.unit, k.ids), '{}') into known_ids from (
        select c.unit, jsonb_agg(c.id order by c.n) as ids
        from unnest(c_unit, c_id, c_outbox) with ordinality as c(unit, id, outbox, n)
        where verdict[c.unit] = 'committed' and case
            when c.outbox > 0 then not exists (select from outbox o where o.id = c.outbox)
            else exists (select from inbox i where i.project = u_project[c.unit] and i.id = c.id and i.outbox = 0) end
        group by c.unit
    ) k;

    -- Versions. `offset 0`: one look-up a unit, whatever the planner thinks of the table's size.
    select array_agg(s.id order by u.n), array_agg(coalesce(s.version, 0) order by u.n) into stream_ids, versions
        from unnest(u_project, u_kind, u_name) with ordinality as u(project, kind, name, n)
        left join lateral (
            select s.id, s.version from streams s
            where s.project = u.project and s.kind = u.kind and s.name = u.name offset 0
        ) s on true;
    verdict := array(
        select case when verdict[n] = 'fenced' then 'fenced'
                    when known_ids ? n::text then 'known'
                    when u_expected[n] <> versions[n] then 'conflict'
                    else 'committed' end
        from generate_series(1, units) n order by n);

    -- Of the units still standing that want the same thing, the first gets it.
    if cardinality(g_unit) > 0 then
        with standing as (
            select g.unit, g.command, min(g.unit) over (partition by g.id) as first
            from unnest(g_unit, g_group, g_command) as g(unit, id, command) where verdict[g.unit] = 'committed'
        ), losers as (
            select distinct unit from standing where unit > first
        )
        select coalesce(jsonb_object_agg(t.unit, t.ids), '{}') into twins from (
            select s.unit, coalesce(jsonb_agg(s.command) filter (
                where s.command is not null and not exists (select from losers l where l.unit = s.first)), '[]') as ids
            from standing s where s.unit > s.first group by s.unit
        ) t;
        verdict := array(
            select case when twins -> n::text = '[]' then 'conflict' when twins ? n::text then 'known' else verdict[n] end
            from generate_series(1, units) n order by n);
        known_ids := known_ids || twins;
    end if;

    -- Streams are created here, never by a reader.
    insert into streams (project, kind, name, fenced)
        select u.project, u.kind, u.name, true
        from unnest(u_project, u_kind, u_name, u_events, stream_ids, verdict)
             as u(project, kind, name, events, id, verdict)
        where u.id is null and u.events > 0 and u.verdict = 'committed';
    if found then
        stream_ids := array(
            select coalesce(u.id, (select s.id from streams s
                                   where s.project = u.project and s.kind = u.kind and s.name = u.name))
            from unnest(u_project, u_kind, u_name, stream_ids) with ordinality as u(project, kind, name, id, n)
            order by u.n);
    end if;

    -- Events, at dense positions in the order of the batch.
    select coalesce(max(position), 0) into head from events;
    if cardinality(e_unit) > 0 then
        type_ids := tag_ids(tags);
        positions := array(
            select case when e.wins then head + count(*) filter (where e.wins) over (order by e.n rows unbounded preceding) end
            from (select n, verdict[unit] = 'committed' as wins from unnest(e_unit) with ordinality as e(unit, n)) e
            order by e.n);
        insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
            select e.position, stream_ids[e.unit], versions[e.unit] + e.n - u_first[e.unit] + 1,
                   type_ids[e.tag], e.at, e.correlation, e.causation, e.body
            from unnest(positions, e_unit, e_tag, e_at, e_correlation, e_causation, e_body)
                 with ordinality as e(position, unit, tag, at, correlation, causation, body, n)
            where e.position is not null;
        get diagnostics written = row_count;
        update streams s set version = s.version + u.events, fenced = true
            from unnest(stream_ids, u_events, verdict) as u(id, events, verdict)
            where s.id = u.id and u.events > 0 and u.verdict = 'committed';
        if written > 0 then
            perform seal(head + 1, head + written, case when written = cardinality(e_unit) then chain_digest end);
        end if;
    end if;

    -- Everything that becomes true with them.
    delete from outbox where id = any (array(
        select c.outbox from unnest(c_unit, c_outbox) as c(unit, outbox)
        where c.outbox > 0 and verdict[c.unit] = 'committed'));
    insert into inbox (project, id, outbox, kind, name, type, sequence, outcome, detail, first_position, events,
                       headers, body)
        select u_project[c.unit], c.id, c.outbox, u_kind[c.unit], u_name[c.unit], c.type, c.sequence, c.outcome,
               c.detail, coalesce(positions[c.first], 0), c.events, c.headers, c.body
        from unnest(c_unit, c_id, c_outbox, c_type, c_outcome, c_detail, c_keep, c_sequence, c_headers, c_body,
                    c_first, c_events)
             as c(unit, id, outbox, type, outcome, detail, keep, sequence, headers, body, first, events)
        where c.keep and verdict[c.unit] = 'committed';
    insert into outbox (project, kind, name, partition, key, sender, type, at, correlation, causation, body)
        select u_project[o.unit], o.kind, o.name, o.partition, o.key, o.sender, o.type, o.at, o.correlation,
               o.causation, o.body
        from unnest(o_unit, o_key, o_kind, o_name, o_partition, o_sender, o_type, o_at, o_correlation, o_causation,
                    o_body) with ordinality
             as o(unit, key, kind, name, partition, sender, type, at, correlation, causation, body, n)
        where verdict[o.unit] = 'committed' order by o.n;
    delete from timers t using unnest(x_unit, x_key) as x(unit, key)
        where verdict[x.unit] = 'committed' and t.project = u_project[x.unit] and t.kind = u_kind[x.unit]
          and t.name = u_name[x.unit] and t.key = x.key;
    insert into timers (project, kind, name, key, partition, due, type, correlation, causation, body)
        select u_project[t.unit], u_kind[t.unit], u_name[t.unit], t.key, u_partition[t.unit], t.due, t.type,
               t.correlation, t.causation, t.body
        from unnest(t_unit, t_key, t_due, t_type, t_correlation, t_causation, t_body)
             as t(unit, key, due, type, correlation, causation, body)
        where verdict[t.unit] = 'committed'
        on conflict (project, kind, name, key) do update
            set due = excluded.due, type = excluded.type, correlation = excluded.correlation,
                causation = excluded.causation, body = excluded.body;
    insert into effects (project, key, kind, name, effect_kind, safety, at, correlation, causation, body)
        select u_project[f.unit], f.key, u_kind[f.unit], u_name[f.unit], f.kind, f.safety, f.at, f.correlation,
               f.causation, f.body
        from unnest(f_unit, f_key, f_kind, f_safety, f_at, f_correlation, f_causation, f_body)
             as f(unit, key, kind, safety, at, correlation, causation, body)
        where verdict[f.unit] = 'committed';

    -- A partition with a loser keeps its cursor: what lost is not settled.
    update partitions p set cursor = claimed.cursor, witness = claimed.witness
        from unnest(p_id, p_epoch, p_owner, p_cursor, p_witness) as claimed(id, epoch, owner, cursor, witness)
        where p.id = claimed.id and p.epoch = claimed.epoch and p.owner = claimed.owner
          and (p.cursor <> claimed.cursor or p.witness <> claimed.witness)
          and not exists (select from unnest(u_partition, verdict) as u(partition, verdict)
                          where u.partition = claimed.id and u.verdict <> 'committed');

    return query
        select n, verdict[n], coalesce(positions[u_first[n]], 0),
               case when verdict[n] = 'known' then array(select jsonb_array_elements_text(known_ids -> n::text))
                    else '{}' end
        from generate_series(1, units) n order by n;
end
$$;
