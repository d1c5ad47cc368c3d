"""The hash chain in the database: SQL digests the same as the page, and a commit's time never goes backwards."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest

from eventstore import chain
from eventstore.postgres.statements import statement
from eventstore.postgres.store import PostgresStore
from tests.kit.chains import write_log
from tests.kit.units import actor, event

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


@pytest.fixture
async def outside(store: PostgresStore, database: str) -> AsyncIterator[Session]:
    """Somebody else's connection to the store's schema."""
    connection: Session = await asyncpg.connect(database, server_settings={"search_path": "troupe, public"})
    try:
        yield connection
    finally:
        connection.terminate()


async def test_sql_digests_every_range_as_the_page_does(store: PostgresStore, outside: Session) -> None:
    await write_log(store)
    events = await store.read(0)
    leaves = [
        chain.leaf(chain.stream_prefix(e.address), e.version, e.at, e.type, e.correlation, e.causation, e.body)
        for e in events
    ]
    for first in range(1, len(events) + 1):
        for last in range(first, len(events) + 1):
            in_sql = await outside.fetchval("select digest_and_marks($1, $2)", first, last)
            assert in_sql == chain.digest_and_marks(leaves[first - 1 : last])


async def test_a_digest_made_for_versions_that_have_moved_on_is_not_used(
    store: PostgresStore, outside: Session
) -> None:
    """An import digests its events for the versions it found; here somebody else was quicker."""
    await store.append(actor("x"), [event(1)])
    await outside.execute(statement("archive_stage_events"))
    await outside.execute("insert into staged_events values (1, 1, 1, 1, now(), 'run', 'c1', '{}')")
    for expected in (0, 1):
        stale = bytes(chain.DIGEST_BYTES + chain.MARK_BYTES)
        digest = stale if expected == 0 else None
        staged = (["demo"], ["task"], ["x"], [expected], [1], ["task.noted.v1"], digest)
        assert await outside.fetchval(statement("archive_append"), *staged) == 2 + expected
    assert (await store.audit.verify()).broken is None


async def test_a_commits_time_never_goes_backwards(store: PostgresStore, outside: Session) -> None:
    """Whatever the server's clock does: what comes after a commit of the future is taken at its time."""
    await store.append(actor(), [event(1)])
    future = await outside.fetchval("update commits set at = at + interval '1 hour' returning at")
    await store.append(actor(), [event(2)])
    assert await outside.fetchval("select at from commits where last_position = 2") == future
    asked = [future, future + timedelta(microseconds=1), future - timedelta(hours=2)]
    assert [await outside.fetchval("select position_before($1)", at) for at in asked] == [0, 2, 0]


async def test_the_log_view_shows_every_event_to_a_person(store: PostgresStore, outside: Session) -> None:
    await store.append(actor(), [event(7)])
    row = await outside.fetchrow("select position, project, kind, name, version, type, body ->> 'n' as n from log")
    assert row is not None
    assert tuple(row) == (1, "demo", "task", "a1", 1, "task.noted.v1", "7")
