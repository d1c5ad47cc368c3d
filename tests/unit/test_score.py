"""A fork whose actors keep the original's order goes the original's way, whatever is ready first; it never stands
still."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import msgspec
import pytest

from actors.runtime.kind import Cancel, EffectCall, Kinds, Performer, Reaction, Timer
from actors.runtime.mailboxes import Mailboxes, from_row
from actors.runtime.record import NOTHING_RECORDED, Record
from actors.runtime.reenact import reenact
from actors.runtime.score import Score
from eventstore.memory.store import MemoryStore
from eventstore.store import EffectOutcome, EventStore, NewEvent, NewTimer, PendingSend, Unit
from protocol.codec import encode
from protocol.message import Command, tag_of
from protocol.subjects import Address, partition_of
from tests.kit.clockwork import (
    PROJECTS,
    WHEEL,
    WHEELS,
    Done,
    HandClock,
    HandCompany,
    Labour,
    Ring,
    Turn,
    Turned,
    Wheel,
    wheel,
)
from tests.kit.noting_bus import NotingBus
from tests.kit.units import NOON, Owner, effect, external, send

STEPS_MAX = 2_000


def _without_timers(state: Wheel, event: Turned) -> tuple[Reaction, ...]:
    return tuple(what for what in WHEEL.react(state, event) if not isinstance(what, Timer | Cancel))


KINDS: Kinds = {"wheel": replace(WHEEL, react=_without_timers)}


async def _never(*_: object) -> Command:
    raise AssertionError("performed")


def _give_up(_: EffectCall, work: Labour, words: str) -> Command:
    assert words == NOTHING_RECORDED
    return Done(-3 * work.n)


LABOUR = Performer("labour", Labour, _never, _give_up, 1, 1, 1.0)


@dataclass
class ForkedCompany:
    """A company on a fork, in an order of chance: sends pass the score, effects are answered from the record."""

    fork: EventStore
    chance: Random
    live: bool = False
    left: list[str] = field(default_factory=list[str])  # Effects nothing was recorded for.

    async def run(self) -> None:
        """Until nothing is under way."""
        company = await HandCompany(self.fork, KINDS, HandClock(NOON + timedelta(days=1)), self.chance).open()
        score = Score(self.fork, NotingBus(), Mailboxes(), ("labour",))
        record = Record(self.fork.forks, KINDS, self.live)
        for _ in range(STEPS_MAX):
            rows = await company.waiting()
            open_ = await self.fork.forks.effects_open(["labour"])
            if not rows and not open_:
                return
            if open_ and self.chance.random() < 0.5:
                await self._answer(record, company)
                continue
            self.chance.shuffle(actors := list(dict.fromkeys(row.to for row in rows)))
            admitted = await score.admit([row for actor in actors for row in rows if row.to == actor])
            if admitted:
                await company.take([from_row(KINDS, row) for row in admitted])
            else:
                await score.look()
        raise AssertionError(f"still under way after {STEPS_MAX} steps")

    async def _answer(self, record: Record, company: HandCompany) -> None:
        (effect,) = self.chance.sample(await self.fork.claim_effects(["labour"], company.id, -1.0, 100), 1)
        work = msgspec.json.decode(effect.body, type=Labour)
        call = EffectCall(effect.address, effect.key, effect.at, effect.correlation, effect.attempt)
        known = await self.fork.forks.recorded(effect.address.project, effect.key)
        outcome = await record.answer(LABOUR, call, work, effect.body)
        assert outcome is not None
        if known is None:
            self.left.append(effect.key)
        ended = EffectOutcome(tag_of(outcome), encode(outcome), NOON)
        assert await self.fork.finish_effect(effect, ended, partition_of(effect.address))


async def original(seed: int, commands: int) -> MemoryStore:
    """A run to its end, in an order of chance; everything from outside comes first."""
    clock, chance = HandClock(), Random(seed)
    store = MemoryStore(clock)
    company = await HandCompany(store, KINDS, clock, chance).open()
    for _ in range(commands):
        company.arrive(wheel(chance.choice(WHEELS), chance.choice(PROJECTS)), Turn(chance.randrange(100), 4))
    while company.arrived:
        await company.commit(chance.random())
    while await company.waiting() or await company.perform():
        if chance.random() < 0.5:
            await company.perform()
        await company.commit(chance.random())
    return store


async def histories(store: EventStore) -> dict[Address, list[tuple[str, bytes, str]]]:
    """Each actor's events without their times."""
    found: dict[Address, list[tuple[str, bytes, str]]] = {}
    for row in await store.read(0):
        found.setdefault(row.address, []).append((row.type, row.body, row.causation))
    return found


@pytest.mark.parametrize("seed", range(12))
async def test_a_fork_goes_the_originals_way_in_any_order(seed: int) -> None:
    store = await original(seed, commands=8)
    head, chance = await store.head(), Random(seed + 100)
    positions = [link.last_position for link in store._tables.links]  # pyright: ignore[reportPrivateUsage]
    begun = max(row.position for row in await store.read(0) if row.causation.startswith("x"))
    later = [position for position in positions if begun <= position < head]
    assert len(later) >= 3
    for position in chance.sample(later, 3):
        name = f"at_{position}"
        async with store.forks.creating(position, name) as draft:
            await reenact(draft, KINDS)
        async with store.forks.opened(name) as fork:
            company = ForkedCompany(fork, chance)
            await company.run()
            assert await histories(fork) == await histories(store)
            assert company.left == []


@pytest.mark.parametrize("seed", range(6))
async def test_a_fork_that_was_changed_comes_to_an_end(seed: int) -> None:
    """A command that the original never had: the rest goes on as far as it can, and nothing waits for ever."""
    store = await original(seed, commands=8)
    chance, head = Random(seed + 200), await store.head()
    async with store.forks.creating(head // 2, "changed") as draft:
        await reenact(draft, KINDS)
    async with store.forks.opened("changed") as fork:
        company = await HandCompany(fork, KINDS, HandClock(), chance, count=1_000).open()
        for name in WHEELS:
            company.arrive(wheel(name), Turn(chance.randrange(100), 2))
        await company.take(company.arrived)
        forked = ForkedCompany(fork, chance)
        await forked.run()
        assert await histories(fork) != await histories(store)
        assert forked.left, "what the original never wanted is not in its record"
    assert await store.head() == head


# --- One actor's order, move by move.


async def fork_with(causes: list[str], *pending: str, position: int = 1) -> tuple[MemoryStore, Score, NotingBus]:
    """An original in which w1, after `position` events, took those commands; a fork where these sends to it wait."""
    store = MemoryStore()
    owner = await Owner.of(store, *range(64))
    address = wheel("w1")
    for version, cause in enumerate(["x0"] * position + causes):
        event = NewEvent("wheel.worked.v1", b'{"type":"wheel.worked.v1","n":2}', NOON, "run", cause)
        unit = Unit(partition_of(address), address, version, (external(f"o{version}"),), (event,))
        await owner.commit(unit)
    async with store.forks.creating(position, "f1"):
        pass
    async with store.forks.opened("f1") as fork:
        theirs = await Owner.of(fork, *range(64))
        sends = tuple(msgspec.structs.replace(send(id_, address), partition=partition_of(address)) for id_ in pending)
        sender = wheel("w2")
        await theirs.commit(Unit(partition_of(sender), sender, None, (external("s"),), (), sends))
        bus = NotingBus()
        assert isinstance(fork, MemoryStore)
        return fork, Score(fork, bus, Mailboxes(), ("labour",)), bus


async def waiting(fork: EventStore) -> list[PendingSend]:
    return await fork.pending_sends([wheel("w1")], 100)


def ids(rows: list[PendingSend]) -> list[str]:
    return [row.id for row in rows]


async def test_sends_are_taken_in_the_originals_order() -> None:
    fork, score, _ = await fork_with(["a/b@1.0", "a/b@2.0", "a/b@2.0", "a/b@3.0"], "a/b@3.0", "a/b@2.0", "a/b@1.0")
    rows = await waiting(fork)
    assert ids(await score.admit(rows[:1])) == []  # It is not the next one.
    assert ids(await score.admit(rows[:2])) == []
    assert ids(await score.admit(rows)) == ["a/b@1.0", "a/b@2.0", "a/b@3.0"]
    # Read again while they are in their mailbox, they stay in that order's place.
    assert sorted(ids(await score.admit(rows))) == ["a/b@1.0", "a/b@2.0", "a/b@3.0"]


async def test_after_the_record_ends_all_are_taken_as_they_come() -> None:
    fork, score, _ = await fork_with(["a/b@2.0"], "a/b@3.0", "a/b@2.0", "a/b@1.0")
    assert ids(await score.admit(await waiting(fork))) == ["a/b@2.0", "a/b@3.0", "a/b@1.0"]
    fork, score, _ = await fork_with([], "a/b@3.0", "a/b@1.0")
    assert ids(await score.admit(await waiting(fork))) == ["a/b@3.0", "a/b@1.0"]


async def test_a_command_from_outside_ends_the_order() -> None:
    fork, score, _ = await fork_with(["a/b@1.0", "x9", "a/b@2.0"], "a/b@2.0", "a/b@3.0", "a/b@1.0")
    assert ids(await score.admit(await waiting(fork))) == ["a/b@1.0", "a/b@2.0", "a/b@3.0"]


async def test_a_firing_is_known_by_its_timer() -> None:
    fork, score, _ = await fork_with(["timer:late:7", "a/b@1.0"], "a/b@1.0")
    assert ids(await score.admit(await waiting(fork))) == []
    theirs = await Owner.of(fork, *range(64))
    timer = NewTimer("late", NOON - timedelta(days=9_000), tag_of(Ring(1)), encode(Ring(1)), "run", "a/b@0")
    address = wheel("w1")
    await theirs.commit(Unit(partition_of(address), address, None, (external("t"),), timers=(timer,)))
    await fork.fire_timers(9)
    first, second = await score.admit(await waiting(fork))
    assert first.id.startswith("timer:late:")
    assert not first.id.endswith(":7")
    assert second.id == "a/b@1.0"


async def test_what_never_comes_holds_up_nobody() -> None:
    fork, score, bus = await fork_with(["a/b@1.0", "a/b@2.0"], "a/b@2.0", "a/b@9.0")
    rows = await waiting(fork)
    assert ids(await score.admit(rows)) == []
    await score.look()  # First what led to nothing in the original, and only that.
    assert bus.rung == [wheel("w1")]
    assert ids(await score.admit(rows)) == ["a/b@9.0"]
    await score.look()  # Something is under way now.
    assert len(bus.rung) == 1
    rows = [row for row in rows if row.id != "a/b@9.0"]
    assert ids(await score.admit(rows)) == []
    settled = msgspec.structs.replace(external("a/b@9.0"), outbox_id=(await waiting(fork))[1].outbox_id, keep=False)
    theirs = await Owner.of(fork, *range(64))
    await theirs.commit(Unit(partition_of(wheel("w1")), wheel("w1"), None, (settled,)))
    await score.look()
    assert ids(await score.admit(rows)) == ["a/b@2.0"]


async def test_nothing_is_let_through_while_an_effect_is_open() -> None:
    fork, score, bus = await fork_with(["a/b@1.0"], "a/b@2.0")
    assert await score.admit(await waiting(fork)) == []
    theirs = await Owner.of(fork, *range(64))
    address = wheel("w3")
    unit = Unit(partition_of(address), address, None, (external("e"),), effects=(effect("wheel/w3@1.0", "labour"),))
    await theirs.commit(unit)
    await score.look()
    assert bus.rung == []
    (claimed,) = await fork.claim_effects(["labour"], theirs.id, 60.0, 9)
    outcome = EffectOutcome(tag_of(Done(1)), encode(Done(1)), NOON)
    await fork.finish_effect(claimed, outcome, partition_of(address))
    await score.look()
    assert bus.rung == []  # Its outcome has not been heard yet.
    assert len(await score.admit(await fork.pending_sends([address], 9))) == 1


async def test_the_order_is_found_again_after_a_crash() -> None:
    causes = ["a/b@1.0", "a/b@2.0", "a/b@3.0"]
    fork, _, bus = await fork_with(causes, "a/b@3.0", "a/b@2.0")
    theirs = await Owner.of(fork, *range(64))
    address = wheel("w1")
    took = NewEvent("wheel.worked.v1", b'{"type":"wheel.worked.v1","n":2}', NOON, "run", "a/b@1.0")
    await theirs.commit(Unit(partition_of(address), address, 1, (external("c"),), (took,)))
    again = Score(fork, bus, Mailboxes(), ())
    assert ids(await again.admit(await waiting(fork))) == ["a/b@2.0", "a/b@3.0"]
    # Who has left the original's way is on its own.
    other = msgspec.structs.replace(took, causation="a/b@7.0")
    await theirs.commit(Unit(partition_of(address), address, 2, (external("d"),), (other,)))
    again = Score(fork, bus, Mailboxes(), ())
    assert ids(await again.admit(await waiting(fork))) == ["a/b@3.0", "a/b@2.0"]


async def test_a_command_whose_events_the_position_cut_is_not_waited_for() -> None:
    fork, score, _ = await fork_with(["x0", "a/b@1.0"], "a/b@2.0", "a/b@1.0")
    assert ids(await score.admit(await waiting(fork))) == ["a/b@1.0", "a/b@2.0"]
