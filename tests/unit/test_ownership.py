"""Leases: a fair share for everyone alive, no commit on a lease that may be over, and a lost one costs itself alone."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actors.runtime import ownership as module
from actors.runtime.ownership import Ownership, OwnershipLost
from actors.runtime.ports import NO_TRACES
from eventstore.memory.store import MemoryStore
from eventstore.store import Lease, StoreUnavailable
from eventstore.workers import Worker
from tests.kit.noting_bus import NotingBus
from tests.kit.units import NOON

PARTITIONS = range(8)
PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.001)
    monkeypatch.setattr(module, "RENEW_AGAIN_S", 0.001)


@dataclass
class Bells(NotingBus):
    """Every process hears the bell."""

    wakes: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    async def on_effects(self, kinds: Sequence[str], wake: Callable[[], None]) -> None:
        self.wakes.append(wake)

    async def ring_effects(self, kinds: Sequence[str], traces: Mapping[str, str] = NO_TRACES) -> None:
        for wake in self.wakes:
            wake()


class Office:
    """A store whose clock is moved by hand, and the processes on it."""

    def __init__(self) -> None:
        self.now = NOON
        self.store = AbsentStore(lambda: self.now)
        self.bus = Bells()

    def process(self, number: int, alone: bool = False) -> Ownership:
        worker = Worker(UUID(int=number), alone)
        return Ownership(self.store, self.bus, worker, Random(number), partitions=PARTITIONS)

    @asynccontextmanager
    async def running(self, *processes: Ownership) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as group:
            for process in processes:
                await process.join()
                group.start_soon(process.run)
            yield
            group.cancel_scope.cancel()

    async def until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE_S):
            while not holds():
                await checkpoint()


class AbsentStore(MemoryStore):
    """Renews nothing while it is absent."""

    absent = False
    asked = 0

    async def renew(self, partitions: Collection[int], owner: UUID, ttl_s: float) -> set[int]:
        self.asked += 1
        if self.absent:
            raise StoreUnavailable("renew: nobody there")
        return await super().renew(partitions, owner, ttl_s)


@pytest.fixture
def office() -> Office:
    return Office()


def shares(*processes: Ownership) -> list[int]:
    return [len(process.held) for process in processes]


def owned(*processes: Ownership) -> list[int]:
    return sorted(partition for process in processes for partition in process.held)


async def test_who_comes_gets_a_share_and_who_goes_leaves_it(office: Office) -> None:
    first, second, third = (office.process(n) for n in (1, 2, 3))
    async with office.running(first):
        assert shares(first) == [8]
        async with office.running(second):
            await office.until(lambda: shares(first, second) == [4, 4])
            async with office.running(third):
                await office.until(lambda: shares(first, second, third) == [3, 3, 2])
                assert owned(first, second, third) == list(PARTITIONS)
            await third.release()
            await office.until(lambda: shares(first, second) == [4, 4])
        await second.release()
        await office.until(lambda: shares(first) == [8])


async def test_what_a_killed_process_had_is_free_when_its_lease_is_over(office: Office) -> None:
    first, second = office.process(1), office.process(2)
    gained: list[Lease] = []
    async with office.running(first):
        async with office.running(second):
            await office.until(lambda: shares(first, second) == [4, 4])
        first.watch(gained.extend, lambda _: None)
        theirs = set(second.held)
        for _ in range(100):
            await checkpoint()
        assert shares(first) == [4], "it is dead, and nobody can know yet"
        office.now += timedelta(seconds=module.LEASE_TTL_S + 0.1)
        await office.until(lambda: shares(first) == [8])
    assert {lease.partition for lease in gained if not lease.clean} >= theirs, "its owner let go of none of them"


async def test_a_partition_is_let_go_once_nothing_of_it_is_under_way(office: Office) -> None:
    first, second = office.process(1), office.process(2)
    under_way, finish = anyio.Event(), anyio.Event()
    vacated: list[int] = []

    async def vacate(partition: int) -> None:
        under_way.set()
        await finish.wait()
        assert partition in first.held
        vacated.append(partition)

    first.on_vacate(vacate, lambda _: None)
    async with office.running(first), office.running(second):
        await under_way.wait()
        for _ in range(50):
            await checkpoint()
        assert shares(first, second) == [8, 0]
        finish.set()
        await office.until(lambda: shares(first, second) == [4, 4])
    assert sorted(vacated) == sorted(second.held)


async def test_what_cannot_be_vacated_now_is_kept_and_renewed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way may itself wait for a renewal: nobody may wait for the other for ever."""
    monkeypatch.setattr(module, "VACATE_S_MAX", 0.01)
    first, second = office.process(1), office.process(2)
    resumed: list[int] = []

    async def vacate(_: int) -> None:
        if len(resumed) < 3:
            await anyio.sleep_forever()

    first.on_vacate(vacate, resumed.extend)
    async with office.running(first):
        renewed = office.store.asked
        async with office.running(second):
            await office.until(lambda: len(resumed) == 2)
            assert shares(first, second) == [8, 0]
            assert office.store.asked > renewed
            await office.until(lambda: shares(first, second) == [4, 4])


async def test_the_one_in_its_folder_waits_for_no_forerunner_and_takes_nothing_from_who_joined(office: Office) -> None:
    forerunner, joined = office.process(1, alone=True), office.process(2)
    async with office.running(forerunner), office.running(joined):
        await office.until(lambda: shares(forerunner, joined) == [4, 4])
    follower = office.process(3, alone=True)
    await follower.join()
    assert set(follower.held) == set(PARTITIONS) - set(joined.held)
    assert [w.id for w in (await office.store.workers.roster()).workers] == [joined.worker.id, follower.worker.id]


async def test_an_acquisition_that_happened_late_is_noticed_by_its_epoch(office: Office) -> None:
    """It was given up as unanswered, made again, and then came after all: renewals alone would never show it."""
    mine = office.process(1)
    async with office.running(mine):
        known = mine.held[2].epoch
        await office.store.acquire([2], mine.worker.id, module.LEASE_TTL_S, takeover=False)
        await office.until(lambda: 2 in mine.held and mine.held[2].epoch > known + 1)
        await mine.valid(PARTITIONS, dict(mine.held))


async def test_a_lost_partition_costs_that_partition_only(office: Office) -> None:
    mine = office.process(1)
    lost: list[int] = []
    mine.watch(lambda _: None, lost.extend)
    async with office.running(mine):
        under = dict(mine.held)
        await office.store.acquire([2], UUID(int=9), 3600, takeover=True)
        await office.until(lambda: lost == [2])
        await mine.valid([0, 1, 3], under)
        with pytest.raises(OwnershipLost, match=r"1 partitions .first: 2."):
            await mine.valid([1, 2], under)


async def test_what_was_begun_under_an_earlier_lease_is_not_valid_under_a_new_one(office: Office) -> None:
    mine = office.process(1)
    async with office.running(mine):
        under = dict(mine.held)
        mine.lose([5])
        await office.until(lambda: 5 in mine.held)
        with pytest.raises(OwnershipLost):
            await mine.valid([5], under)
        await mine.valid([5], dict(mine.held))


async def test_nothing_is_begun_on_a_lease_that_may_be_over(office: Office) -> None:
    """While the store does not answer, nobody knows; with the next renewal work goes on."""
    mine = office.process(1)
    await mine.join()
    assert mine.current(PARTITIONS)
    office.store.absent = True
    vars(mine)["_until"].update(dict.fromkeys(PARTITIONS, 0.0))
    assert not mine.current([3])
    went_on = anyio.Event()

    async def work() -> None:
        await mine.valid(PARTITIONS, dict(mine.held))
        went_on.set()

    async with anyio.create_task_group() as group:
        group.start_soon(mine.run)
        group.start_soon(work)
        await office.until(lambda: office.store.asked >= 3)
        assert not went_on.is_set()
        office.store.absent = False
        await office.until(went_on.is_set)
        assert mine.current(PARTITIONS)
        group.cancel_scope.cancel()
