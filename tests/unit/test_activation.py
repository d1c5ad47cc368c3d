"""The actors in memory: bounded in bytes, never one of the batch in hand, and their snapshots kept beside the work."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import msgspec
import pytest

from actors.runtime import activation, snapshotting
from actors.runtime.activation import ENTRY_BYTES, SNAPSHOT_AT_REST_EVENTS, STATE_FACTOR, ActorCache, CacheLimits
from actors.runtime.folding import SNAPSHOT_EVERY_EVENTS
from actors.runtime.kind import Kind
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.turn import Loaded
from eventstore.memory.store import MemoryStore
from eventstore.snapshots import Snapshot
from eventstore.store import NewEvent
from protocol.codec import encode
from protocol.message import Event
from protocol.subjects import PARTITIONS, Address, partition_of
from tests.kit.counting import COUNTER, Add, Added, Count
from tests.kit.units import NOON, actor

LONG_S = 3_600.0
TEXT = "x" * 100


class Notes(msgspec.Struct, frozen=True):
    texts: tuple[str, ...] = ()


def _notes(_: Address) -> Notes:
    return Notes()


def _nothing(_: Notes, __: Add) -> tuple[Event, ...]:
    return ()


def _note(state: Notes, event: Added) -> Notes:
    return Notes((*state.texts, event.trouble))


def _silent(_: Notes, __: Added) -> tuple[()]:
    return ()


NOTES: Kind[Any] = Kind("notes", (Add,), (Added,), _notes, _nothing, _note, _silent, state=Notes)


class Odd(msgspec.Struct, frozen=True):
    """A state that is no JSON."""

    what: Any = None


def _odd(_: Address) -> Odd:
    return Odd(object())


def _stay(state: Odd, _: Added) -> Odd:
    return state


def _odd_nothing(_: Odd, __: Add) -> tuple[Event, ...]:
    return ()


def _odd_silent(_: Odd, __: Added) -> tuple[()]:
    return ()


ODD: Kind[Any] = Kind("odd", (Add,), (Added,), _odd, _odd_nothing, _stay, _odd_silent)
KINDS = {"counter": COUNTER, "notes": NOTES, "odd": ODD}


class Blocked(MemoryStore):
    """Takes snapshots only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.at_once, self.at_once_max = anyio.Event(), 0, 0
        put = self.snapshots.put

        async def slow(snapshot: Snapshot) -> bool:
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
            try:
                await self.open.wait()
                return await put(snapshot)
            finally:
                self.at_once -= 1

        self.snapshots.put = slow


async def write(store: MemoryStore, address: Address, events: int, text: str = "") -> None:
    new = NewEvent("counter.added.v1", encode(Added(1, text)), NOON, "run", "c1")
    await store.append(address, [new] * events)


def of(store: MemoryStore, bytes_max: int = 10**9, after_s: float = LONG_S) -> ActorCache:
    return ActorCache(store, KINDS, Mailboxes(), CacheLimits(bytes_max, after_s))


async def kept(store: MemoryStore, address: Address) -> int:
    found = await store.snapshots.get(address, KINDS[address.kind].state_schema)
    return found.version if found else 0


@asynccontextmanager
async def running(cache: ActorCache) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(cache.run)
        yield
        group.cancel_scope.cancel()


async def one_by_one(cache: ActorCache, addresses: list[Address]) -> None:
    for address in addresses:
        await cache.load([address])
        cache.unpin()


def check(cache: ActorCache) -> None:
    """Its account is right."""
    entries = cache._actors  # pyright: ignore[reportPrivateUsage]
    assert cache.bytes == sum(entry.size for entry in entries.values())
    assert all(entry.size >= ENTRY_BYTES for entry in entries.values())


async def test_memory_follows_the_bound_however_many_actors_there_are() -> None:
    store = MemoryStore()
    cache = of(store, 50 * ENTRY_BYTES)
    addresses = [actor(f"a{n}", "counter") for n in range(200)]
    await one_by_one(cache, addresses)
    assert 0 < len(cache) <= 50
    assert cache.bytes <= 50 * ENTRY_BYTES
    assert cache.get(addresses[-1]) == Loaded(Count(), 0)
    assert cache.get(addresses[0]) is None, "the least recently used go first"
    check(cache)


async def test_whoever_was_used_lately_stays() -> None:
    store = MemoryStore()
    cache = of(store, 6 * ENTRY_BYTES)
    busy, others = actor("busy", "counter"), [actor(f"a{n}", "counter") for n in range(30)]
    for other in others:
        await one_by_one(cache, [busy, other])
    assert cache.get(busy) is not None
    assert cache.get(others[0]) is None


async def test_those_of_the_batch_in_hand_are_never_let_go() -> None:
    store = MemoryStore()
    cache = of(store, 3 * ENTRY_BYTES, after_s=-1.0)
    batch = [actor(f"a{n}", "counter") for n in range(40)]
    await cache.load([actor("early", "counter"), *batch[:5]])
    await cache.load(batch)
    cache.passivate()
    assert all(cache.get(address) is not None for address in batch)
    assert cache.get(actor("early", "counter")) is None
    cache.remember(batch[0], Loaded(Count(1, 1), 1), 50)
    assert all(cache.get(address) is not None for address in batch)
    cache.unpin()
    assert cache.bytes <= 3 * ENTRY_BYTES
    check(cache)


async def test_a_state_that_grows_takes_more_of_the_bound() -> None:
    store = MemoryStore()
    cache, address = of(store), actor("n1", "notes")
    await cache.load([address])
    texts: tuple[str, ...] = ()
    for version in range(1, 2_001):
        texts = (*texts, TEXT)
        cache.remember(address, Loaded(Notes(texts), version), len(TEXT) + 40)
    real = STATE_FACTOR * len(encode(Notes(texts)))
    assert 0.7 * real < cache.bytes <= ENTRY_BYTES + real
    cache.drop(address)
    assert cache.bytes == 0


async def test_measuring_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is written as often as it has grown by a quarter, and not with every commit."""
    measured = 0

    def counted(value: Any) -> bytes:
        nonlocal measured
        measured += 1
        return encode(value)

    monkeypatch.setattr(activation, "encode", counted)
    cache, address = of(MemoryStore()), actor("n1", "notes")
    await cache.load([address])
    texts: tuple[str, ...] = ()
    for version in range(1, 2_001):
        texts = (*texts, TEXT)
        cache.remember(address, Loaded(Notes(texts), version), len(TEXT) + 40)
    assert 5 < measured < 40


async def test_where_a_state_is_no_json_its_events_stand_for_it() -> None:
    store = MemoryStore()
    cache, address = of(store), actor("o1", "odd")
    await write(store, address, 10, TEXT)
    await cache.load([address])
    cache.remember(address, Loaded(Odd(object()), 11), 5_000)
    assert cache.bytes > ENTRY_BYTES + 5_000
    check(cache)


async def test_who_was_not_used_for_long_is_let_go_and_leaves_a_snapshot() -> None:
    store = MemoryStore()
    a1, few = actor("a1", "counter"), actor("few", "counter")
    await write(store, a1, SNAPSHOT_AT_REST_EVENTS)
    await write(store, few, SNAPSHOT_AT_REST_EVENTS - 1)
    cache = of(store, after_s=-1.0)
    await cache.load([a1, few])
    cache.unpin()
    cache.passivate()
    assert len(cache) == 0
    assert cache.bytes == 0
    await cache.snapshots.finish()
    assert (await kept(store, a1), await kept(store, few)) == (SNAPSHOT_AT_REST_EVENTS, 0)
    await cache.load([a1])
    assert cache.get(a1) == Loaded(Count(SNAPSHOT_AT_REST_EVENTS, SNAPSHOT_AT_REST_EVENTS), SNAPSHOT_AT_REST_EVENTS)


async def test_an_actor_that_lives_has_a_snapshot_after_every_so_many_events() -> None:
    store = MemoryStore()
    a1 = actor("a1", "counter")
    cache = of(store)
    await cache.load([a1])
    async with running(cache):
        for version in range(1, 2 * SNAPSHOT_EVERY_EVENTS + 1):
            await write(store, a1, 1)
            cache.remember(a1, Loaded(Count(version, version), version), 30)
            if version == SNAPSHOT_EVERY_EVENTS - 1:
                assert cache.snapshots.kept == 0
        with anyio.fail_after(5):
            while await kept(store, a1) != 2 * SNAPSHOT_EVERY_EVENTS:
                await anyio.lowlevel.checkpoint()
    assert cache.snapshots.kept == 2


async def test_snapshots_wait_for_the_store_and_nobody_for_them() -> None:
    store = Blocked()
    cache = of(store)
    addresses = [actor(f"a{n}", "counter") for n in range(snapshotting.WAITING_MAX + 50)]
    for address in addresses:
        await write(store, address, SNAPSHOT_EVERY_EVENTS)
    async with running(cache):
        with anyio.fail_after(10):
            await one_by_one(cache, addresses)  # Each is due for a snapshot; none can be written.
        waiting = cache.snapshots._waiting  # pyright: ignore[reportPrivateUsage]
        assert len(waiting) <= snapshotting.WAITING_MAX, "what waits is bounded"
        store.open.set()
        with anyio.fail_after(10):
            while waiting or store.at_once:
                await anyio.lowlevel.checkpoint()
        assert 0 < store.at_once_max <= snapshotting.SNAPSHOTS_CONCURRENT_MAX
    cache.remember(addresses[-1], Loaded(Count(), SNAPSHOT_EVERY_EVENTS), 0)
    await cache.snapshots.finish()
    assert await kept(store, addresses[-1]) == SNAPSHOT_EVERY_EVENTS, "what found no room is due again"


async def test_a_clean_stop_keeps_what_is_due() -> None:
    store = MemoryStore()
    addresses = [actor(f"a{n}", "counter") for n in range(snapshotting.WAITING_MAX + 20)]
    for address in addresses:
        await write(store, address, SNAPSHOT_AT_REST_EVENTS)
    cache = of(store)
    await cache.load(addresses)
    cache.unpin()
    leaving = cache.leaving()
    cache.lose(range(PARTITIONS))
    await cache.rest(leaving)
    assert {await kept(store, address) for address in addresses} == {SNAPSHOT_AT_REST_EVENTS}


async def test_the_account_is_right_whatever_happens() -> None:
    chance, store = Random(7), MemoryStore()
    cache = of(store, 40 * ENTRY_BYTES, after_s=0.0)
    addresses = [actor(f"a{n}", kind) for n in range(60) for kind in KINDS]
    for _ in range(400):
        batch = chance.sample(addresses, chance.randrange(1, 9))
        await cache.load(batch)
        for address in batch:
            loaded = cache.get(address) or Loaded(KINDS[address.kind].initial(address), 0)  # It may have been lost.
            match chance.randrange(4):
                case 0:
                    cache.drop(address)
                case 1:
                    cache.lose({partition_of(address)})
                case _:
                    cache.remember(address, Loaded(loaded.state, loaded.version + 1), chance.randrange(5_000))
            check(cache)
        if chance.randrange(3):
            cache.unpin()
        if not chance.randrange(5):
            cache.passivate()
        check(cache)
