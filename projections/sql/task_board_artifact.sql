-- $1 project, $2 task, $3 role, $4 path, $5 place, $6 media type, $7 sha256, $8 bytes, $9 position
insert into task_artifacts (project, task, role, path, ordinal, media_type, sha256, size_bytes, position)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (project, task, role, path) do update
    set ordinal = excluded.ordinal, media_type = excluded.media_type, sha256 = excluded.sha256,
        size_bytes = excluded.size_bytes, position = excluded.position
