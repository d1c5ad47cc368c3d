-- The plain append for many at once: imports, tools and tests. An actor's stream takes only fenced commits.

-- One commit, judged as if the appends came one after the other: each happens whole or not at all, and one that loses
-- takes no other with it. Rows find their stream, write and append by subscript, never by a join; what is subscripted
-- holds numbers and no null, which makes that one step.
--
-- status: committed, known, conflict, fenced or taken (records.py has their meaning). lost: the write that was refused
-- (from 1, among all writes), and the version it found.
create function append_batch(
    -- streams, each once, in the order in which they are first written to
    s_project text[], s_kind text[], s_name text[],
    -- an append's first write (from 1), how many writes and how many events it has
    a_first integer[], a_writes integer[], a_events integer[],
    -- w_expected: -1 for any version; w_first: where the write's events begin (from 1)
    w_append integer[], w_stream integer[], w_expected bigint[], w_first integer[], w_events integer[],
    -- the appends with an id; i_print: what tells their events from others. Equal ids have equal numbers, and prints too.
    i_append integer[], i_project text[], i_kind text[], i_name text[], i_id text[], i_print text[],
    i_id_number integer[], i_print_number integer[],
    tags text[],
    e_write integer[], e_tag integer[], e_at timestamptz[], e_correlation text[], e_causation text[], e_body bytea[],
    chain_digest bytea   -- over all events as they will stand if nothing loses; null: not known beforehand
) returns table (status text, first_position bigint, last_position bigint, lost integer, found bigint)
language plpgsql volatile as $$
#variable_conflict use_column
declare
    appends constant integer := cardinality(a_first);
    no_append constant integer[] := array_fill(0, array[appends]);
    no_position constant bigint[] := array_fill(0::bigint, array[appends]);
    -- by stream: its id (null: not there yet), its version as the appends come, whether it is an actor's, events won
    ids bigint[];
    versions bigint[];
    fenced boolean[];
    gained bigint[];
    -- by write: the version it found, the position of its first event (0: its append lost)
    base bigint[];
    places bigint[];
    -- by append: its fate; the write that lost; 1, then the position of its first event if it may have been written before
    fates text[] := array_fill('committed'::text, array[appends]);
    firsts bigint[];
    lasts bigint[];
    losing integer[] := no_append;
    suspects bigint[] := no_position;
    -- by append: its row among those with an id (0: it has none)
    named integer[];
    -- by append with an id: 0: nobody has it; 1: the same events have it; 2: something else has it
    heard integer[];
    heard_first bigint[];
    heard_last bigint[];
    holder integer[] := no_append;   -- by id number: the append of this batch that got it
    types smallint[];
    numbered bigint[];
    head bigint;
    next_position bigint;
    written integer;
    w integer;
    i integer;
begin
    perform lock_log();
    select coalesce(max(position), 0) into head from events;

    -- `offset 0`: one look-up a row, whatever the planner thinks of the table's size.
    select array_agg(f.id order by s.n), array_agg(coalesce(f.version, 0) order by s.n),
           array_agg(coalesce(f.fenced, false) order by s.n) into ids, versions, fenced
        from unnest(s_project, s_kind, s_name) with ordinality as s(project, kind, name, n)
        left join lateral (
            select f.id, f.version, f.fenced from streams f
            where f.project = s.project and f.kind = s.kind and f.name = s.name offset 0
        ) f on true;
    if cardinality(i_append) > 0 then
        select array_agg(case when k.id is null then 0 when k.type = 'append' and k.detail = a.print then 1 else 2 end
                         order by a.n),
               array_agg(coalesce(k.first_position, 0) order by a.n),
               array_agg(case when k.events > 0 then k.first_position + k.events - 1 else 0 end order by a.n)
            into heard, heard_first, heard_last
            from unnest(i_project, i_id, i_print) with ordinality as a(project, id, print, n)
            left join lateral (
                select k.id, k.type, k.detail, k.first_position, k.events from inbox k
                where k.project = a.project and k.id = a.id and k.outbox = 0 offset 0
            ) k on true;
    end if;

    if cardinality(w_stream) = cardinality(s_name)
       and (heard is null or (0 = all (heard) and (select max(n) from unnest(i_id_number) n) = cardinality(i_append)))
       and not exists (select from unnest(w_stream, w_expected) as u(stream, expected)
                       where fenced[u.stream] or u.expected not in (-1, versions[u.stream])) then
        -- The usual case: nothing loses, and nothing is wanted twice, so that the n-th write is the one to the n-th stream.
        base := versions;
        gained := w_events;
        places := array(select head + u.first from unnest(w_first) with ordinality as u(first, n) order by u.n);
        firsts := array(select case when a.events > 0 then places[a.first] else 0 end
                        from unnest(a_first, a_events) with ordinality as a(first, events, n) order by a.n);
    else
        base := array_fill(0::bigint, array[cardinality(w_stream)]);
        places := base;
        gained := array_fill(0::bigint, array[cardinality(s_name)]);
        firsts := no_position;
        named := no_append;
        for n in 1 .. cardinality(i_append) loop
            named[i_append[n]] := n;
        end loop;
        next_position := head + 1;
        for n in 1 .. appends loop
            i := named[n];
            if i > 0 then
                w := holder[i_id_number[i]];
                if heard[i] > 0 then
                    fates[n] := case heard[i] when 1 then 'known' else 'taken' end;
                    firsts[n] := heard_first[i];
                elsif w > 0 then
                    fates[n] := case when i_print_number[named[w]] = i_print_number[i] then 'known' else 'taken' end;
                    firsts[n] := firsts[w];
                end if;
                continue when fates[n] <> 'committed';
            elsif a_events[n] > 0 then
                suspects[n] := 1;
            end if;
            for w in a_first[n] .. a_first[n] + a_writes[n] - 1 loop
                base[w] := versions[w_stream[w]];
                if fenced[w_stream[w]] and fates[n] <> 'fenced' then
                    fates[n] := 'fenced';
                    losing[n] := w;
                elsif w_expected[w] not in (-1, base[w]) and fates[n] = 'committed' then
                    fates[n] := 'conflict';
                    losing[n] := w;
                end if;
                -- Only if all its streams have moved past it can it have been written before.
                if w_events[w] > 0 and (w_expected[w] = -1 or w_expected[w] + w_events[w] > base[w]) then
                    suspects[n] := 0;
                end if;
            end loop;
            if fates[n] <> 'conflict' then
                suspects[n] := 0;
            end if;
            continue when fates[n] <> 'committed';
            if a_events[n] > 0 then
                firsts[n] := next_position;
            end if;
            for w in a_first[n] .. a_first[n] + a_writes[n] - 1 loop
                places[w] := next_position;
                next_position := next_position + w_events[w];
                versions[w_stream[w]] := base[w] + w_events[w];
                gained[w_stream[w]] := gained[w_stream[w]] + w_events[w];
            end loop;
            if i > 0 then
                holder[i_id_number[i]] := n;
            end if;
        end loop;
    end if;

    -- Streams are created here, never by a reader.
    numbered := ids;
    if exists (select from unnest(ids, gained) as s(id, events) where s.id is null and s.events > 0) then
        numbered := array(select case when s.id is null and s.events > 0 then nextval(q.sequence) else s.id end
                          from unnest(ids, gained) with ordinality as s(id, events, n),
                               (select pg_get_serial_sequence('streams', 'id')::regclass as sequence offset 0) q
                          order by s.n);
        insert into streams (id, project, kind, name, version, fenced) overriding system value
            select s.number, s.project, s.kind, s.name, s.events, false
            from unnest(s_project, s_kind, s_name, ids, numbered, gained)
                 as s(project, kind, name, id, number, events)
            where s.id is null and s.events > 0;
    end if;
    update streams f set version = f.version + s.events
        from unnest(ids, gained) as s(id, events) where f.id = s.id and s.events > 0;

    types := tag_ids(tags);
    insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
        select places[e.write] + e.n - w_first[e.write], numbered[w_stream[e.write]],
               base[e.write] + e.n - w_first[e.write] + 1, types[e.tag], e.at, e.correlation, e.causation, e.body
        from unnest(e_write, e_tag, e_at, e_correlation, e_causation, e_body) with ordinality
             as e(write, tag, at, correlation, causation, body, n)
        where places[e.write] > 0;
    get diagnostics written = row_count;
    if written > 0 then
        perform seal(head + 1, head + written, case when written = cardinality(e_write) then chain_digest end);
    end if;
    insert into inbox (project, id, outbox, kind, name, type, sequence, outcome, detail, first_position, events,
                       headers, body)
        select a.project, a.id, 0, a.kind, a.name, 'append', 0, 'accepted', a.print, firsts[a.append],
               a_events[a.append], '', ''
        from unnest(i_append, i_project, i_kind, i_name, i_id, i_print) as a(append, project, kind, name, id, print)
        where fates[a.append] = 'committed';

    -- A conflict of an append whose very events are there already is its repetition.
    if 1 = any (suspects) then
        for n in 1 .. appends loop
            continue when suspects[n] = 0;
            w := a_first[n];
            while w_events[w] = 0 loop
                w := w + 1;
            end loop;
            suspects[n] := (select e.position from events e
                            where e.stream_id = numbered[w_stream[w]] and e.version = w_expected[w] + 1);
        end loop;
        for i in
            select t.append from (
                select w_append[e.write] as append, bool_and(exists (
                    select from events x
                    where x.position = suspects[w_append[e.write]] + e.n - w_first[a_first[w_append[e.write]]]
                      and x.stream_id = numbered[w_stream[e.write]]
                      and x.version = w_expected[e.write] + e.n - w_first[e.write] + 1
                      and x.type_id = types[e.tag] and x.at = e.at and x.correlation = e.correlation
                      and x.causation = e.causation and x.body = e.body)) as same
                from unnest(e_write, e_tag, e_at, e_correlation, e_causation, e_body) with ordinality
                     as e(write, tag, at, correlation, causation, body, n)
                where suspects[w_append[e.write]] > 0 group by w_append[e.write]
            ) t where t.same
        loop
            fates[i] := 'known';
            firsts[i] := suspects[i];
            losing[i] := 0;
        end loop;
    end if;

    return query
        select a.fate, a.first,
               case when a.fate = 'known' and named[a.n] > 0 and heard[named[a.n]] > 0 then heard_last[named[a.n]]
                    when a.first > 0 then a.first + a.events - 1 else 0 end,
               a.lost, case when a.lost > 0 then base[a.lost] else 0 end
        from unnest(fates, firsts, a_events, losing) with ordinality as a(fate, first, events, lost, n) order by a.n;
end
$$;

-- The version a stream had when the log stood at a position (0: it was not there yet). Halves the stream's events until
-- it has found the last one up to there.
create function version_at(p_stream bigint, p_position bigint) returns bigint
language plpgsql stable as $$
declare
    low bigint := 0;
    high bigint := (select s.version from streams s where s.id = p_stream);
    middle bigint;
begin
    while low < high loop
        middle := (low + high + 1) / 2;
        if (select e.position from events e where e.stream_id = p_stream and e.version = middle) <= p_position then
            low := middle;
        else
            high := middle - 1;
        end if;
    end loop;
    return low;
end
$$;

-- A body as a person reads it: JSON, or text that is no JSON as a string, or other bytes in base64. Never an error: one
-- odd row must not hide the others.
create function readable(body bytea) returns jsonb
language plpgsql immutable as $$
declare
    said text;
begin
    begin
        said := convert_from(body, 'UTF8');
    exception when character_not_in_repertoire or untranslatable_character then
        return jsonb_build_object('base64', encode(body, 'base64'));
    end;
    begin
        return said::jsonb;
    exception when data_exception or program_limit_exceeded then
        return to_jsonb(said);
    end;
end
$$;

-- Events for questions in psql. `taken_at` is when the log took the event, `at` the time of the command behind it.
create or replace view log as
    select e.position, s.project, s.kind, s.name, e.version, t.tag as type, e.at, e.correlation, e.causation,
           readable(e.body) as body,
           (select c.at from commits c where c.last_position >= e.position order by c.last_position limit 1) as taken_at
    from events e join streams s on s.id = e.stream_id join event_types t on t.id = e.type_id;
