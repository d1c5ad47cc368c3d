"""What `eventstore/snapshots.py` promises: a cache of committed state that is either right or not there."""

from dataclasses import replace

import pytest

from eventstore.errors import StoreError
from eventstore.snapshots import SNAPSHOT_BYTES_MAX, Snapshot
from eventstore.store import EventStore
from tests.kit.snapshots import spoil_snapshot
from tests.kit.units import Owner, actor, unit

STATE = Snapshot(actor(), 2, "1:abc", b'{"total":7}')


@pytest.fixture
async def stream(store: EventStore, owner: Owner) -> EventStore:
    """A store whose stream of a1 has three events, and that of a2 one."""
    await owner.commit(unit("a1", events=3), unit("a2", command="c2"))
    return store


async def test_a_snapshot_is_given_back_as_it_was_put(stream: EventStore) -> None:
    assert await stream.snapshots.get(actor(), "1:abc") is None
    assert await stream.snapshots.put(STATE) is True
    assert await stream.snapshots.get(actor(), "1:abc") == STATE
    for other in (actor("a2"), actor(kind="memory"), actor(project="other")):
        assert await stream.snapshots.get(other, "1:abc") is None


async def test_one_of_another_schema_is_as_if_there_were_none(stream: EventStore) -> None:
    await stream.snapshots.put(STATE)
    assert await stream.snapshots.get(actor(), "2:abc") is None
    assert await stream.snapshots.put(replace(STATE, schema="2:abc")) is True
    assert await stream.snapshots.get(actor(), "1:abc") is None
    assert await stream.snapshots.get(actor(), "2:abc") == replace(STATE, schema="2:abc")


async def test_only_committed_state_is_kept(stream: EventStore) -> None:
    assert await stream.snapshots.put(replace(STATE, version=4)) is False
    assert await stream.snapshots.put(replace(STATE, address=actor("nobody"), version=1)) is False
    assert await stream.snapshots.get(actor(), "1:abc") is None
    assert await stream.snapshots.put(replace(STATE, version=3)) is True


async def test_the_latest_wins_whoever_comes_last(stream: EventStore) -> None:
    late = replace(STATE, version=3)
    assert await stream.snapshots.put(late) is True
    assert await stream.snapshots.put(replace(STATE, schema="2:abc")) is False
    assert await stream.snapshots.get(actor(), "1:abc") == late
    again = replace(late, body=b'{"total":8}')
    assert await stream.snapshots.put(again) is True
    assert await stream.snapshots.get(actor(), "1:abc") == again


async def test_dropping_one_leaves_the_log_and_the_others(stream: EventStore) -> None:
    other = Snapshot(actor("a2"), 1, "1:abc", b"{}")
    await stream.snapshots.put(STATE)
    await stream.snapshots.put(other)
    await stream.snapshots.drop(actor())
    await stream.snapshots.drop(actor("nobody"))
    assert await stream.snapshots.get(actor(), "1:abc") is None
    assert await stream.snapshots.get(actor("a2"), "1:abc") == other
    assert await stream.head() == 4
    older = replace(STATE, version=1)
    assert await stream.snapshots.put(older) is True
    assert await stream.snapshots.get(actor(), "1:abc") == older


@pytest.mark.parametrize("what", ["body", "version", "schema"])
async def test_a_changed_one_is_as_if_there_were_none(stream: EventStore, what: str) -> None:
    await stream.snapshots.put(STATE)
    changed = {"body": replace(STATE, body=b'{"total":9}'), "version": replace(STATE, version=1)}
    await spoil_snapshot(stream, changed.get(what, replace(STATE, schema="1:abd")))
    for schema in ("1:abc", "1:abd"):
        assert await stream.snapshots.get(actor(), schema) is None
    assert await stream.snapshots.put(STATE) is True
    assert await stream.snapshots.get(actor(), "1:abc") == STATE


async def test_one_beyond_its_stream_is_as_if_there_were_none(stream: EventStore) -> None:
    """A log that was restored to an earlier day may have later snapshots beside it."""
    await stream.snapshots.put(STATE)
    await spoil_snapshot(stream, replace(STATE, version=9), sealed=True)
    assert await stream.snapshots.get(actor(), "1:abc") is None
    assert await stream.snapshots.put(STATE) is True
    assert await stream.snapshots.get(actor(), "1:abc") == STATE


@pytest.mark.parametrize(
    "bad",
    [
        replace(STATE, version=0),
        replace(STATE, schema=""),
        replace(STATE, schema="x" * 513),
        replace(STATE, schema="a\0b"),
        replace(STATE, body=bytes(SNAPSHOT_BYTES_MAX + 1)),
    ],
    ids=["version 0", "no schema", "long schema", "NUL", "too big"],
)
async def test_one_that_no_store_can_hold_is_refused(stream: EventStore, bad: Snapshot) -> None:
    with pytest.raises(StoreError, match=r"the snapshot of demo/task/a1"):
        await stream.snapshots.put(bad)


async def test_snapshots_are_no_part_of_the_chain(stream: EventStore) -> None:
    before = await stream.audit.head()
    await stream.snapshots.put(STATE)
    assert await stream.audit.head() == before
    assert (await stream.audit.verify()).broken is None
