create temporary table staged_log (
    position bigint, fenced boolean, version bigint, at timestamptz, project text, kind text, name text, type text,
    correlation text, causation text, body bytea
)
