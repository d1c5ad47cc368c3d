"""The sweeper's purge and the intake's look into the outbox, each against the one mistake it must not make."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actors.runtime import intake as intakes
from actors.runtime import services
from actors.runtime.bells import bell_of
from actors.runtime.cursor import Cursors
from actors.runtime.intake import Intake
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.ports import BusUnavailable
from actors.runtime.services import Eraser, Sweeper
from eventstore.memory.store import MemoryStore
from eventstore.store import Batch, Fence, NewSend
from protocol.codec import encode
from protocol.subjects import Address, partition_of
from tests.kit.counting import KINDS, Ball
from tests.kit.noting_bus import NotingBus
from tests.kit.units import NOON, Owner, actor, unit
from tests.unit.test_cursors import leases, witness


async def swept(
    bus: NotingBus, monkeypatch: pytest.MonkeyPatch, *cursors: int, times: int = 3, held: Collection[int] = (0,)
) -> list[int]:
    """What was purged, where partitions stand at those cursors. What came by of the stream is at sequence 10."""
    monkeypatch.setattr(services, "SWEEP_EVERY_S", 0)
    store, seen = await standing(*cursors), Cursors(leases(0))
    seen.see(0, 10, "w0-10")
    async with anyio.create_task_group() as group:
        group.start_soon(Sweeper(store, bus, seen, held).run)
        for _ in range(times * 10):
            await checkpoint()
        group.cancel_scope.cancel()
    return bus.purged


async def standing(*cursors: int) -> MemoryStore:
    store, owner = MemoryStore(), uuid4()
    await move(store, owner, *cursors)
    return store


async def move(store: MemoryStore, owner: UUID, *cursors: int) -> None:
    taken = await store.acquire(range(len(cursors)), owner, 3600, takeover=True)
    fences = tuple(
        Fence(lease.partition, lease.epoch, owner, cursor, witness(cursor))
        for lease, cursor in zip(taken, cursors, strict=True)
    )
    await store.commit(Batch(fences, ()))


async def test_what_is_below_the_lowest_cursor_of_all_is_purged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    far = services.PURGE_EVERY_MESSAGES
    bus = NotingBus(witnesses={far: f"w0-{far}"})
    assert await swept(bus, monkeypatch, far + 5, far) == [far]


async def test_one_process_purges_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    far = services.PURGE_EVERY_MESSAGES
    assert await swept(NotingBus(witnesses={far: f"w0-{far}"}), monkeypatch, far + 5, far, held=[1]) == []


async def test_a_stream_made_anew_is_not_purged_by_the_old_ones_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    far = services.PURGE_EVERY_MESSAGES
    for found in ("w1-of another stream", ""):
        bus = NotingBus(witnesses={far: found})
        assert await swept(bus, monkeypatch, far + 5, far) == []


async def test_a_little_is_purged_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PURGE_EVERY_SWEEPS", 2)
    bus = NotingBus(witnesses={3: "w0-3"})
    assert await swept(bus, monkeypatch, 3) == [3]


async def test_the_owner_of_the_lowest_cursor_is_rung_when_nothing_else_moves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = NotingBus(witnesses={3: "w0-3"})
    await swept(bus, monkeypatch, 9, 3)
    assert set(bus.rung) == {bell_of(1)}
    assert [partition_of(address) for address in bus.rung[:1]] == [1]
    quiet = NotingBus(witnesses={10: "w0-10"})
    await swept(quiet, monkeypatch, 10, 10)
    assert quiet.rung == [], "all of it is settled"


async def test_what_is_about_somebody_is_erased_once_it_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away is asked again; until then the cursor stays."""
    monkeypatch.setattr(services, "ERASE_AGAIN_S", 0)
    bus, cursors = Stubborn(), Cursors(leases(0))
    for sequence in (1, 2, 3):
        cursors.see(0, sequence, witness(sequence), personal=sequence == 2)
        cursors.settle(0, sequence, 0)
    async with anyio.create_task_group() as group:
        group.start_soon(Eraser(bus, cursors).run)
        with anyio.fail_after(5):
            while bus.refused < 3:
                await checkpoint()
            assert cursors.preview(0) == (1, "w0-1")
            bus.away = False
            while cursors.open_count:
                await checkpoint()
        group.cancel_scope.cancel()
    assert bus.erased == [2]
    assert cursors.preview(0) == (3, "w0-3")


@dataclass
class Stubborn(NotingBus):
    """Erases nothing while it is away."""

    away: bool = True
    refused: int = 0

    async def erase(self, sequences: Collection[int]) -> None:
        if self.away:
            self.refused += 1
            raise BusUnavailable("nobody there")
        await super().erase(sequences)


async def test_after_a_forgetting_nothing_waits_for_the_next_purge(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doorbell is heard while the sweeper rests."""
    bus, store, owner = Belled(witnesses={3: "w0-3", 4: "w0-4"}), MemoryStore(), uuid4()
    await move(store, owner, 3)
    async with anyio.create_task_group() as group:
        group.start_soon(Sweeper(store, bus, Cursors(leases(3)), [0]).run)
        with anyio.fail_after(5):
            while not bus.wakes:
                await checkpoint()
            for _ in range(50):
                await checkpoint()
            assert bus.purged == [], "so little waits otherwise"
            bus.wakes["forget"]()
            while bus.purged != [3]:
                await checkpoint()
            await move(store, owner, 4)
            bus.wakes["forget"]()
            while bus.purged != [3, 4]:
                await checkpoint()
        group.cancel_scope.cancel()


@dataclass
class Belled(NotingBus):
    """Keeps who is to be woken."""

    wakes: dict[str, Callable[[], None]] = field(default_factory=dict[str, Callable[[], None]])

    async def on_effects(self, kinds: Sequence[str], wake: Callable[[], None]) -> None:
        self.wakes.update(dict.fromkeys(kinds, wake))


async def test_one_actors_page_of_mail_does_not_hide_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "ROWS_MAX", 4)
    store, mailboxes, bus = MemoryStore(), Mailboxes(), NotingBus()
    owner = await Owner.of(store)
    busy, patient = Address("demo", "player", "busy"), Address("demo", "player", "patient")
    body = encode(Ball("p1", 1, 0))
    for n, to in enumerate([busy] * 9 + [patient] * 2):
        letter = NewSend(f"player/p1@{n}.0", to, 0, "player/p1", "player.ball.v1", body, NOON, "run", "x")
        await owner.commit(unit(f"a{n}", command=f"c{n}", sends=(letter,), address=actor(f"a{n}")))
    intake = Intake(store, bus, KINDS, mailboxes, Cursors(leases(0)), lambda: NOON)
    await intake.fetch([busy, patient])
    assert [p.id for p in mailboxes.take(busy, 99)] == [f"player/p1@{n}.0" for n in range(4)]
    assert [p.id for p in mailboxes.take(patient, 99)] == ["player/p1@9.0", "player/p1@10.0"]
