"""The sweeper's purge and the intake's look into the outbox, each against the one mistake it must not make."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actors.runtime import intake as intakes
from actors.runtime import services
from actors.runtime.cursor import Cursors
from actors.runtime.intake import Intake
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.services import Sweeper
from eventstore.memory.store import MemoryStore
from eventstore.store import NewSend
from protocol.codec import encode
from protocol.subjects import Address
from tests.kit.counting import KINDS, Ball
from tests.kit.noting_bus import NotingBus
from tests.kit.units import NOON, Owner, actor, unit
from tests.unit.test_cursors import leases


async def swept(bus: NotingBus, cursors: Cursors, monkeypatch: pytest.MonkeyPatch, times: int = 3) -> list[int]:
    monkeypatch.setattr(services, "SWEEP_EVERY_S", 0)
    async with anyio.create_task_group() as group:
        group.start_soon(Sweeper(MemoryStore(), bus, cursors, [0]).run)
        for _ in range(times * 10):
            await checkpoint()
        group.cancel_scope.cancel()
    return bus.purged


async def test_what_is_below_the_lowest_cursor_is_purged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    far = services.PURGE_EVERY_MESSAGES
    bus = NotingBus(witnesses={far: f"w0-{far}"})
    assert await swept(bus, Cursors(leases(far + 5, far)), monkeypatch) == [far]


async def test_a_stream_made_anew_is_not_purged_by_the_old_ones_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    far = services.PURGE_EVERY_MESSAGES
    for found in ("w1-of another stream", ""):
        bus = NotingBus(witnesses={far: found})
        assert await swept(bus, Cursors(leases(far + 5, far)), monkeypatch) == []


async def test_a_little_is_purged_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PURGE_EVERY_SWEEPS", 2)
    bus = NotingBus(witnesses={3: "w0-3"})
    assert await swept(bus, Cursors(leases(3)), monkeypatch) == [3]


async def test_a_command_at_the_cursor_does_not_stay_as_the_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doorbell is put behind it, until one has been settled: what then stays is about nobody."""
    monkeypatch.setattr(services, "PURGE_EVERY_SWEEPS", 1)
    bus, cursors = NotingBus(witnesses={3: "w0-3", 4: "w0-4", 5: "w0-5"}), Cursors(leases(3))
    await swept(bus, cursors, monkeypatch)
    assert bus.purged == [3]
    assert bus.rung, "what stands at the cursor since an earlier process may be a command"
    cursors.see(0, 4, "w0-4")
    cursors.heard_content(4)
    cursors.personal.add(4)
    cursors.settle(0, 4, 0)
    cursors.committed(0, cursors.preview(0))
    bus.rung.clear()
    await swept(bus, cursors, monkeypatch)
    assert (bus.purged, bool(bus.rung)) == ([3, 4], True)
    cursors.see(0, 5, "w0-5")
    cursors.settle(0, 5, 0)
    cursors.committed(0, cursors.preview(0))
    bus.rung.clear()
    await swept(bus, cursors, monkeypatch)
    assert (bus.purged, bus.rung) == ([3, 4, 5], []), "the doorbell is the witness"
    assert bus.erased == [([], 3), ([], 0), ([4], 0)], "first all that nobody knows, then what may be about somebody"
    assert cursors.personal == set()


async def test_after_a_forgetting_nothing_waits_for_the_next_purge(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doorbell is heard while the sweeper rests, and what it asks for is repeated until it is done."""
    bus, cursors = Belled(witnesses={3: "w0-3", 4: "w0-4"}), Cursors(leases(3))
    cursors.see(0, 4, "w0-4")
    async with anyio.create_task_group() as group:
        group.start_soon(Sweeper(MemoryStore(), bus, cursors, [0]).run)
        with anyio.fail_after(5):
            while not bus.wakes:
                await checkpoint()
            for _ in range(50):
                await checkpoint()
            assert bus.purged == [], "so little waits otherwise"
            monkeypatch.setattr(services, "SWEEP_EVERY_S", 0)
            bus.wakes["forget"]()
            while bus.purged != [3]:
                await checkpoint()
            cursors.settle(0, 4, 0)
            cursors.committed(0, cursors.preview(0))
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
