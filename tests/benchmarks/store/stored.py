"""What lies in the tables before anything is measured: events as 1,024 writers would have left them, 10 a stream.

Written by the server itself, without the chain's digests: nothing here is read by a verifier. The table for COPY and
the one of `eventsourcing` get as many rows, so that every index is as deep as the other's.
"""

from typing import Any

import asyncpg

STREAM_EVENTS = 10
BODY_BYTES = 180
WRITERS = 1_024

BLOCK_EVENTS = WRITERS * STREAM_EVENTS

PEERS = "peers"  # The schema of the tables that are not Troupe's.
# ($1: how many.) Of each block of 10,240 events, the n-th of a stream stand together, as concurrent writers leave them.
_STREAMS = """
insert into {schema}.streams (project, kind, name, version, fenced)
    select 'bench', 'task', 'stored-' || n, 10, true from generate_series(1, $1::bigint / 10) n
"""
_EVENTS = """
insert into {table} (position, stream_id, version, type_id, at, correlation, causation, body)
    select p + 1, p / 10240 * 1024 + p % 10240 % 1024 + 1, p % 10240 / 1024 + 1, 1,
           timestamptz '2026-01-01' + p * interval '1 ms',
           '00000000-0000-7000-8000-' || lpad(to_hex(p / 10), 12, '0'),
           '00000000-0000-7000-8000-' || lpad(to_hex(p), 12, '0'),
           convert_to(rpad('{{"n":' || p || ',"text":"', 178, 'x') || '"}}', 'UTF8')
    from generate_series(0, $1::bigint - 1) p
"""
_INBOX = """
insert into {schema}.inbox (project, id, outbox, kind, name, type, sequence, outcome, detail, first_position, events,
                            headers, body)
    select 'bench', causation, 0, 'task', 'stored-' || stream_id, 'task.note.v1', position, 'accepted', '', position, 1,
           body, body
    from {schema}.events order by position
"""
_COMMITS = """
insert into {schema}.commits (first_position, last_position, digest, root)
    select p, p + 1023, sha256(int8send(p)), sha256(int8send(p)) from generate_series(1, $1::bigint - 1023, 1024) p
"""
_STORED_EVENTS = """
insert into {schema}.stored_events (originator_id, originator_version, topic, state)
    select md5(stream_id::text)::uuid, version, 'bench:Noted', body from {events} order by position
"""
# Commits without a link: nothing is hashed, nothing is written.
UNCHAINED = """
create or replace function {schema}.seal_at(from_position bigint, to_position bigint, digest bytea, at timestamptz)
returns void language sql as ''
"""
_COPIED = """
create table {peers}.{table} (like {schema}.events including indexes including storage)
"""


def whole(events: int) -> int:
    """The next number of events that whole blocks hold."""
    return -(-events // BLOCK_EVENTS) * BLOCK_EVENTS


async def fill(run: "asyncpg.Connection[Any]", schema: str, events: int) -> None:
    """Troupe's own tables."""
    await run.execute(f"insert into {schema}.event_types (tag) values ('task.noted.v1') on conflict do nothing")
    await run.execute(_STREAMS.format(schema=schema), events, timeout=None)
    await run.execute(_EVENTS.format(table=f"{schema}.events"), events, timeout=None)
    await run.execute(_INBOX.format(schema=schema), timeout=None)
    await run.execute(_COMMITS.format(schema=schema), events)


async def fill_copy(run: "asyncpg.Connection[Any]", schema: str, table: str, events: int) -> None:
    """A table for COPY with the columns and the indexes of Troupe's events."""
    await run.execute(f"create schema if not exists {PEERS}")
    await run.execute(_COPIED.format(peers=PEERS, schema=schema, table=table))
    await run.execute(_EVENTS.format(table=f"{PEERS}.{table}"), events, timeout=None)


async def fill_eventsourcing(run: "asyncpg.Connection[Any]", schema: str, peer_schema: str) -> None:
    await run.execute(_STORED_EVENTS.format(schema=peer_schema, events=f"{schema}.events"), timeout=None)
