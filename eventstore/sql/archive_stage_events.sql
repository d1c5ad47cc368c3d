create temporary table staged_events (
    n integer, stream integer, nth integer, tag integer, at timestamptz, correlation text, causation text, body bytea
)
