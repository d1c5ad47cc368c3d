-- The plain append, for imports, tools and tests. An actor's stream takes only fenced commits.

create function append_plain(
    p_project text, p_kind text, p_name text, p_expected bigint,
    tags text[], e_at timestamptz[], e_correlation text[], e_causation text[], e_body bytea[]
) returns bigint
language plpgsql volatile as $$
declare
    stream streams;
    head bigint;
    written integer;
begin
    perform lock_log();
    select * into stream from streams where project = p_project and kind = p_kind and name = p_name;
    if stream.fenced then
        raise exception 'the stream belongs to an actor; send the actor a command instead' using errcode = 'P0001';
    end if;
    if p_expected <> coalesce(stream.version, 0) then
        raise exception 'expected version %, found %; read the stream again', p_expected, coalesce(stream.version, 0)
            using errcode = 'P0409';
    end if;
    select coalesce(max(position), 0) into head from events;
    if cardinality(tags) = 0 then
        return head;
    end if;
    if stream.id is null then
        insert into streams (project, kind, name, fenced) values (p_project, p_kind, p_name, false)
            returning * into stream;
    end if;
    insert into events (position, stream_id, version, type_id, at, correlation, causation, body)
        select head + e.n, stream.id, stream.version + e.n, e.type_id, e.at, e.correlation, e.causation, e.body
        from unnest(tag_ids(tags), e_at, e_correlation, e_causation, e_body)
             with ordinality as e(type_id, at, correlation, causation, body, n);
    get diagnostics written = row_count;
    update streams set version = version + written where id = stream.id;
    perform seal(head + 1, head + written, null);
    return head + written;
end
$$;
