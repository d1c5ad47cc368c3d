-- Sends wanted by events, until it is known which the log has settled. Gone with the transaction.
create temporary table wanted_sends (
    n bigint generated always as identity,
    position bigint not null,
    project text not null,
    kind text not null,
    name text not null,
    partition integer not null,
    key text not null,
    sender text not null,
    type text not null,
    at timestamptz not null,
    correlation text not null,
    causation text not null,
    body bytea not null
) on commit drop
