-- Snapshots: a cache, one row a stream. Nothing of the log rests on them.

create table snapshots (
    stream_id bigint primary key,
    project text not null,
    version bigint not null,
    schema text not null,
    at timestamptz not null default clock_timestamp(),
    sha256 bytea not null,     -- over address, version, schema and body: see snapshots.py
    body bytea not null
);

-- What a snapshot names as a blob is marked with it, so that a collection need not read snapshots.
-- One beyond its stream (of a log that was restored to an earlier day) stands in nobody's way.
create function put_snapshot(
    p_project text, p_kind text, p_name text, p_version bigint, p_schema text, p_sha256 bytea, p_body bytea
) returns boolean
language plpgsql volatile as $$
begin
    insert into snapshots as known (stream_id, project, version, schema, sha256, body)
        select s.id, s.project, p_version, p_schema, p_sha256, p_body
        from streams s
        where s.project = p_project and s.kind = p_kind and s.name = p_name and s.version >= p_version
        on conflict (stream_id) do update
            set version = excluded.version, schema = excluded.schema, at = excluded.at, sha256 = excluded.sha256,
                body = excluded.body
            where known.version <= excluded.version
               or known.version > (select s.version from streams s where s.id = known.stream_id);
    if not found then
        return false;
    end if;
    insert into blob_marks (project, sha256) select distinct p_project, digest from names_in(p_body) digest
        order by 1, 2 on conflict do nothing;
    return true;
end
$$;
