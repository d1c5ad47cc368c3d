"""Leases: all partitions or none, no commit on a lease that may be over, and an end when another has taken one."""

from uuid import uuid4

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actors.runtime import ownership as module
from actors.runtime.commit import OwnershipLost
from actors.runtime.ownership import Ownership
from eventstore.memory.store import MemoryStore
from eventstore.store import Lease, StoreUnavailable

PARTITIONS = range(4)
PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ACQUIRE_RETRY_S", 0.001)
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.001)


async def test_it_owns_all_or_nothing_and_waits_for_who_holds_one() -> None:
    """Two that each held some would wait for each other for ever."""
    store, other = MemoryStore(), uuid4()
    await store.acquire([3], other, 3600, takeover=False)
    owned: list[Lease] = []
    mine = Ownership(store, PARTITIONS, takeover=False)

    async def own() -> None:
        owned.extend(await mine.acquire())

    async with anyio.create_task_group() as group:
        group.start_soon(own)
        with anyio.fail_after(PATIENCE_S):
            while len(await store.acquire([0, 1, 2], other, 3600, takeover=False)) < 3:
                await checkpoint()  # Between two of its tries they are free for whoever comes.
        assert owned == []
        await store.release(PARTITIONS, other)
    assert {lease.partition for lease in owned} == set(PARTITIONS)
    assert set(mine.held) == set(PARTITIONS)
    assert all(mine.held[lease.partition].epoch == lease.epoch for lease in owned)


async def test_a_takeover_waits_for_nobody() -> None:
    store = MemoryStore()
    await store.acquire(PARTITIONS, uuid4(), 3600, takeover=False)
    mine = Ownership(store, PARTITIONS, takeover=True)
    assert {lease.epoch for lease in await mine.acquire()} == {2}


async def test_losing_one_partition_ends_the_process() -> None:
    store = MemoryStore()
    mine = Ownership(store, PARTITIONS, takeover=True)
    await mine.acquire()
    await store.acquire([2], uuid4(), 3600, takeover=True)
    with anyio.fail_after(PATIENCE_S), pytest.raises(OwnershipLost, match=r"1 partitions .first: 2."):
        await mine.run()


async def test_nothing_is_begun_on_a_lease_that_may_be_over() -> None:
    """While the store does not answer, nobody knows; with the next renewal work goes on."""
    store = AbsentStore()
    mine = Ownership(store, PARTITIONS, takeover=True)
    await mine.acquire()
    assert mine.current
    vars(mine)["_until"] = 0.0
    went_on = anyio.Event()

    async def work() -> None:
        await mine.valid()
        went_on.set()

    async with anyio.create_task_group() as group:
        group.start_soon(mine.run)
        group.start_soon(work)
        with anyio.fail_after(PATIENCE_S):
            while store.asked < 3:
                await checkpoint()
            assert not went_on.is_set()
            store.absent = False
            await went_on.wait()
        assert mine.current
        group.cancel_scope.cancel()


class AbsentStore(MemoryStore):
    """Renews nothing while it is absent."""

    absent = True
    asked = 0

    async def renew(self, partitions: object, owner: object, ttl_s: float) -> set[int]:
        self.asked += 1
        if self.absent:
            raise StoreUnavailable("renew: nobody there")
        return await super().renew(partitions, owner, ttl_s)  # pyright: ignore[reportArgumentType]


async def test_a_release_lets_the_next_begin_at_once() -> None:
    store = MemoryStore()
    mine = Ownership(store, PARTITIONS, takeover=False)
    await mine.acquire()
    await mine.release()
    with anyio.fail_after(PATIENCE_S):
        assert len(await Ownership(store, PARTITIONS, takeover=False).acquire()) == len(PARTITIONS)
