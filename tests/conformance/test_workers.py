"""Who runs the company: alive for as long as they say so, and what each owns."""

from uuid import UUID

from eventstore.store import Batch, EventStore, Fence
from eventstore.workers import Worker

FIRST, SECOND = Worker(UUID(int=1), True, ("job",), "here", 7), Worker(UUID(int=2))
LONG_S = 3600.0


async def test_who_said_so_lately_is_alive(store: EventStore) -> None:
    await store.workers.beat(SECOND, LONG_S)
    await store.workers.beat(FIRST, LONG_S)
    assert (await store.workers.roster()).workers == (FIRST, SECOND)
    await store.workers.beat(SECOND, -1.0)
    assert (await store.workers.roster()).workers == (FIRST,)
    await store.workers.beat(SECOND, LONG_S)
    assert (await store.workers.roster()).workers == (FIRST, SECOND)


async def test_who_leaves_keeps_its_leases_until_they_are_over(store: EventStore) -> None:
    await store.workers.beat(FIRST, LONG_S)
    await store.acquire([0, 1], FIRST.id, LONG_S, takeover=False)
    await store.workers.leave(FIRST.id, SECOND.id)
    roster = await store.workers.roster()
    assert roster.workers == ()
    assert [(h.partition, h.owner) for h in roster.holdings] == [(0, FIRST.id), (1, FIRST.id)]
    assert all(0 < h.expires_in_s <= LONG_S for h in roster.holdings)


async def test_a_lease_that_is_over_is_seen_to_be(store: EventStore) -> None:
    await store.acquire([3], FIRST.id, -1.0, takeover=False)
    (holding,) = (await store.workers.roster()).holdings
    assert holding.expires_in_s < 0
    await store.release([3], FIRST.id)
    assert (await store.workers.roster()).holdings == ()


async def test_a_partition_is_clean_when_it_was_let_go(store: EventStore) -> None:
    (lease,) = await store.acquire([5], FIRST.id, -1.0, takeover=False)
    assert lease.clean, "nobody had it before"
    (lease,) = await store.acquire([5], SECOND.id, LONG_S, takeover=False)
    assert not lease.clean, "its lease was over, but nobody let it go"
    (again,) = await store.acquire([5], SECOND.id, LONG_S, takeover=False)
    assert (again.epoch, again.clean) == (lease.epoch + 1, False), "the answer of the first may have been lost"
    await store.release([5], SECOND.id)
    (lease,) = await store.acquire([5], FIRST.id, LONG_S, takeover=True)
    assert lease.clean
    (lease,) = await store.acquire([5], SECOND.id, LONG_S, takeover=True)
    assert not lease.clean


async def test_the_lowest_cursor_of_all(store: EventStore) -> None:
    assert await store.workers.lowest() is None
    leases = await store.acquire([0, 1, 2], FIRST.id, LONG_S, takeover=False)
    places = {0: (9, "w9"), 1: (4, "w4"), 2: (4, "w4")}
    fences = tuple(Fence(lease.partition, lease.epoch, FIRST.id, *places[lease.partition]) for lease in leases)
    await store.commit(Batch(fences, ()))
    lowest = await store.workers.lowest()
    assert lowest is not None
    assert (lowest.partition, lowest.cursor, lowest.witness) == (1, 4, "w4")


async def test_timers_fire_for_whom_they_are_asked(store: EventStore) -> None:
    assert await store.fire_timers(10, []) == []
    assert await store.next_timer_s([]) is None
