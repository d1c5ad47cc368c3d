create temporary table staged_commits (
    format smallint, first_position bigint, last_position bigint, at timestamptz, digest bytea, marks bytea, root bytea
)
