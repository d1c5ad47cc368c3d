"""The hash chain in the database: the same as on paper, and broken by any tampering."""

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from eventstore import chain
from eventstore.postgres.store import PostgresStore
from eventstore.store import Recorded
from tests.kit.units import Owner, actor, event, unit

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


async def written(store: PostgresStore) -> None:
    """Six commits: with one event, with several, with a loser (digested in SQL), unchecked, plain."""
    owner = await Owner.of(store)
    await owner.commit(unit("a1"))
    await owner.commit(unit("a1", 1, "c2", events=3), unit("a2", command="c3", events=2))
    await owner.commit(unit("a1", 0, "c4"), unit("a3", command="c5", events=2))
    await owner.commit(unit("a3", None, "c6", events=2))
    await store.append(actor("plain"), [event(1, "läuft"), event(2)])
    await owner.commit(unit("a3", 4, "c7"))


def digest_on_paper(events: list[Recorded]) -> bytes:
    return chain.digest(
        chain.event_bytes(chain.stream_prefix(e.address), e.version, e.at, e.type, e.correlation, e.causation, e.body)
        for e in events
    )


async def test_the_chain_of_the_database_is_the_chain_of_the_page(store: PostgresStore, outside: Session) -> None:
    """Digests made before sending, made in SQL when a unit loses, and made from the rows read back are the same."""
    await written(store)
    events = await store.read(0)
    previous = b""
    links = await outside.fetch("select first_position, last_position, digest, root from commits order by 1")
    assert len(links) == 6
    for first, last, digest, root in links:
        held = [e for e in events if first <= e.position <= last]
        assert digest_on_paper(held) == digest
        assert chain.root(previous, first, last, digest) == root
        previous = root
    for first in range(1, len(events) + 1):
        for last in range(first, len(events) + 1):
            in_sql = await outside.fetchval("select digest_of($1, $2)", first, last)
            assert in_sql == digest_on_paper(events[first - 1 : last])


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("update events set body = convert_to('{\"n\":9}', 'UTF8') where position = 3", [(2, 6)]),
        ("update events set at = at + interval '1 microsecond' where position = 1", [(1, 1)]),
        ("update event_types set tag = 'task.other.v1' where tag = 'task.noted.v1'", "all"),
        ("update streams set name = 'a9' where name = 'plain'", [(11, 12)]),
        ("delete from events where position = 13", [(13, 13)]),
        (
            "insert into events select 14, stream_id, version + 1, type_id, at, correlation, causation, body "
            "from events where position = 13",
            [(14, 14)],
        ),
        ("update commits set digest = sha256('x') where first_position = 2", [(2, 6)]),
        ("update commits set root = sha256('x') where first_position = 2", [(2, 6), (7, 8)]),
        ("delete from commits where first_position = 2", [(7, 8)]),
    ],
)
async def test_a_changed_byte_a_missing_and_an_added_event_break_the_chain(
    store: PostgresStore, outside: Session, tampering: str, broken: object
) -> None:
    await written(store)
    assert await store.broken_links() == []
    await outside.execute(tampering)
    links = [(1, 1), (2, 6), (7, 8), (9, 10), (11, 12), (13, 13)]
    found = await store.broken_links(upto=14)
    assert found == (links if broken == "all" else broken)
    assert await store.broken_links(after=9, upto=14) == [link for link in found if link[1] > 9]


async def test_the_log_view_shows_every_event_to_a_person(store: PostgresStore, outside: Session) -> None:
    await store.append(actor(), [event(7)])
    row = await outside.fetchrow("select position, project, kind, name, version, type, body ->> 'n' as n from log")
    assert row is not None
    assert tuple(row) == (1, "demo", "task", "a1", 1, "task.noted.v1", "7")
