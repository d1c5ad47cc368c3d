"""Coming to life from a snapshot and the events after it: what is read, what is kept, and what happens to a bad one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from actors.runtime.activation import ActorCache
from actors.runtime.folding import SNAPSHOT_EVERY_EVENTS, Fold, Unfoldable, fold
from actors.runtime.kind import Kind
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.turn import Loaded
from eventstore.memory.store import MemoryStore
from eventstore.snapshots import Snapshot
from eventstore.store import PAGE_EVENTS_MAX, NewEvent, Recorded, StoreError, StoreUnavailable
from protocol.codec import encode
from protocol.message import Event, tag_of
from protocol.subjects import Address
from tests.kit.counting import COUNTER, Added, Count
from tests.kit.units import NOON, actor

A1 = actor(kind="counter")
FEW = 7
BARE = Kind("counter", COUNTER.commands, COUNTER.events, COUNTER.initial, COUNTER.decide, COUNTER.evolve, COUNTER.react)


class Reading(MemoryStore):
    """Counts what is read; fails as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.events_read = 0
        self.failures = 0

    async def read_stream(
        self,
        address: Address,
        after: int = 0,
        limit: int = PAGE_EVENTS_MAX,
        upto: int | None = None,
        backward: bool = False,
    ) -> list[Recorded]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("read_stream: the server is away")
        page = await super().read_stream(address, after, limit, upto, backward)
        self.events_read += len(page)
        return page

    @asynccontextmanager
    async def counted(self) -> AsyncGenerator[list[int]]:
        """How many events are read in the block."""
        before, total = self.events_read, list[int]()
        yield total
        total.append(self.events_read - before)


async def add(store: MemoryStore, events: int, said: Event | None = None) -> None:
    event = said or Added(2)
    new = NewEvent(tag_of(event), encode(event), NOON, "run", "c1")
    for begin in range(0, events, 1_000):
        await store.append(A1, [new] * min(1_000, events - begin))


def count(adds: int) -> Loaded:
    return Loaded(Count(2 * adds, adds), adds)


async def kept(store: MemoryStore, kind: Kind[Any] = COUNTER) -> int:
    """The version of the snapshot there is (0: none)."""
    found = await store.snapshots.get(A1, kind.state_schema)
    return found.version if found else 0


async def test_ten_thousand_events_are_read_once() -> None:
    store = Reading()
    await add(store, 10_000)
    async with store.counted() as first:
        assert await fold(store, COUNTER, A1) == count(10_000)
    await add(store, FEW)
    async with store.counted() as second:
        assert await fold(store, COUNTER, A1) == count(10_000 + FEW)
    assert (first, second) == ([10_000], [FEW])
    assert await kept(store) == 10_000, "so few events are not worth a new one"


async def test_a_snapshot_is_kept_once_enough_events_were_folded() -> None:
    store = Reading()
    await add(store, SNAPSHOT_EVERY_EVENTS - 1)
    await fold(store, COUNTER, A1)
    assert await kept(store) == 0
    await add(store, 1)
    await fold(store, COUNTER, A1)
    assert await kept(store) == SNAPSHOT_EVERY_EVENTS
    await add(store, SNAPSHOT_EVERY_EVENTS)
    assert await fold(store, COUNTER, A1) == count(2 * SNAPSHOT_EVERY_EVENTS)
    assert await kept(store) == 2 * SNAPSHOT_EVERY_EVENTS


async def test_an_actor_without_a_history_and_a_kind_without_a_state_type_are_folded_plainly() -> None:
    store = Reading()
    assert await fold(store, COUNTER, A1) == count(0)
    await add(store, SNAPSHOT_EVERY_EVENTS)
    for _ in range(2):
        async with store.counted() as read:
            assert await fold(store, BARE, A1) == count(SNAPSHOT_EVERY_EVENTS)
        assert read == [SNAPSHOT_EVERY_EVENTS]
    assert store.snapshots.rows == {}


class Weighed(msgspec.Struct, frozen=True):
    """The state of a later version of the counter."""

    total: int = 0
    adds: int = 0
    kilograms: float = 0.0


class Reweighed(Event, frozen=True, tag="counter.weighed.v1"):
    kilograms: float


def _weighed(_: Address) -> Weighed:
    return Weighed()


def _weigh(state: Weighed, event: Added) -> Weighed:
    return Weighed(state.total + event.n, state.adds + 1, 0.5)


LATER: list[Any] = [
    replace(COUNTER, state_version=2),
    replace(COUNTER, events=(Added, Reweighed)),
    replace(COUNTER, state=Weighed, initial=_weighed, evolve=_weigh),
]


@pytest.mark.parametrize("later", LATER, ids=["another version", "another event", "another state"])
async def test_a_snapshot_of_another_version_of_the_kind_is_ignored_and_rebuilt(later: Kind[Any]) -> None:
    store = Reading()
    await add(store, SNAPSHOT_EVERY_EVENTS)
    await fold(store, COUNTER, A1)
    assert later.state_schema != COUNTER.state_schema
    async with store.counted() as read:
        loaded = await fold(store, later, A1)
    assert read == [SNAPSHOT_EVERY_EVENTS]
    assert (loaded.state.total, loaded.version) == (2 * SNAPSHOT_EVERY_EVENTS, SNAPSHOT_EVERY_EVENTS)
    assert (await kept(store), await kept(store, later)) == (0, SNAPSHOT_EVERY_EVENTS)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"total":"many"}', b"\xff", b"[" * 100_000])
async def test_a_snapshot_that_cannot_be_read_is_dropped_and_rebuilt(body: bytes) -> None:
    store = Reading()
    await add(store, SNAPSHOT_EVERY_EVENTS)
    assert await store.snapshots.put(Snapshot(A1, SNAPSHOT_EVERY_EVENTS, COUNTER.state_schema, body))
    assert await fold(store, COUNTER, A1) == count(SNAPSHOT_EVERY_EVENTS)
    rebuilt = await store.snapshots.get(A1, COUNTER.state_schema)
    assert rebuilt is not None
    assert msgspec.json.decode(rebuilt.body, type=Count) == count(SNAPSHOT_EVERY_EVENTS).state


def _stubborn(state: Count, event: Added) -> Count:
    if state.total == -1:
        raise KeyError("a state that no history leads to")
    return Count(state.total + event.n, state.adds + 1)


async def test_a_snapshot_on_which_the_history_cannot_be_folded_is_dropped_and_rebuilt() -> None:
    store, kind = Reading(), replace(COUNTER, evolve=_stubborn)
    await add(store, SNAPSHOT_EVERY_EVENTS)
    wrong = encode(Count(-1, 1))
    assert await store.snapshots.put(Snapshot(A1, 1, kind.state_schema, wrong))
    assert await fold(store, kind, A1) == count(SNAPSHOT_EVERY_EVENTS)
    assert await kept(store, kind) == SNAPSHOT_EVERY_EVENTS


async def test_a_history_that_cannot_be_folded_is_told_with_its_event() -> None:
    store = Reading()
    await add(store, 3)
    await add(store, 1, Added(1, "evolve"))
    with pytest.raises(Unfoldable, match=r"event 4: RuntimeError: cannot become that"):
        await fold(store, COUNTER, A1)


async def test_a_fold_goes_on_where_the_store_went_away() -> None:
    store = Reading()
    await add(store, PAGE_EVENTS_MAX + 10)
    folding = Fold(store, COUNTER, A1)
    store.failures = 1
    with pytest.raises(StoreUnavailable):
        await folding.finish()
    assert await folding.finish() == count(PAGE_EVENTS_MAX + 10)
    assert store.events_read == PAGE_EVENTS_MAX + 10


@pytest.mark.parametrize("error", [StoreUnavailable("full"), StoreError("no")])
async def test_a_snapshot_that_cannot_be_kept_costs_nothing_but_itself(
    error: StoreError, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Reading()
    await add(store, SNAPSHOT_EVERY_EVENTS)

    async def refuse(_: Snapshot) -> bool:
        raise error

    monkeypatch.setattr(store.snapshots, "put", refuse)
    assert await fold(store, COUNTER, A1) == count(SNAPSHOT_EVERY_EVENTS)


class Untold(msgspec.Struct, frozen=True):
    anything: Any = None


def _untold(_: Address) -> Untold:
    return Untold()


def _tell(_: Untold, __: Added) -> Untold:
    return Untold(object())


async def test_a_state_that_cannot_be_written_is_folded_every_time() -> None:
    store = Reading()
    await add(store, SNAPSHOT_EVERY_EVENTS)
    kind: Any = replace(COUNTER, state=Untold, initial=_untold, evolve=_tell)
    assert (await fold(store, kind, A1)).version == SNAPSHOT_EVERY_EVENTS
    assert store.snapshots.rows == {}


async def test_the_runtime_brings_actors_to_life_in_this_way() -> None:
    store = Reading()
    await add(store, SNAPSHOT_EVERY_EVENTS)
    kinds = {"counter": COUNTER}
    store.failures = 1  # It also waits for a store that is away.
    for read in (SNAPSHOT_EVERY_EVENTS, 0):
        cache = ActorCache(store, kinds, Mailboxes())
        async with store.counted() as counted:
            await cache.load([A1])
        assert cache.get(A1) == count(SNAPSHOT_EVERY_EVENTS)
        assert counted == [read]
        await cache.snapshots.finish()
