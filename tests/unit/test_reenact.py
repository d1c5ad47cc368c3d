"""Reactions run again come to what the store really held, after every single commit of a simulated company."""

import hashlib
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

import pytest

from actors.runtime.kind import Kind
from actors.runtime.reenact import CannotReenact, reenact
from actors.runtime.work import Work
from eventstore.memory.store import MemoryStore
from eventstore.memory.tables import Tables
from eventstore.store import EventStore, NewEffect, NewTimer, PendingSend
from protocol.subjects import Address
from tests.kit.clockwork import KINDS, PROJECTS, WHEEL, WHEELS, HandClock, HandCompany, Turn, Turned, Wheel, wheel
from tests.kit.units import NOON, Owner, event, unit

COMMITS = 40
Key = tuple[Address, str]


@dataclass(frozen=True)
class Held:
    """What was under way right after a commit: what the store held, and what the log cannot tell from it."""

    sends: tuple[PendingSend, ...]
    timers: dict[Key, NewTimer]
    effects: dict[tuple[str, str], NewEffect]
    silent: frozenset[tuple[str, str]]  # Sends (project and id) that were accepted silently, or refused, by then.
    fired: dict[Key, NewTimer]  # Fired, not accepted with an event, not set or cancelled since.
    performed: dict[tuple[str, str], NewEffect]  # Their outcome waits in the outbox.


@dataclass
class Recording:
    """A simulated company whose store is looked at after every commit."""

    seed: int
    calm: bool  # The clock stands still while anything is under way: every turn's time is then its command's.
    tables: Tables = field(default_factory=Tables)
    clock: HandClock = field(default_factory=HandClock)
    held: dict[int, Held] = field(default_factory=dict[int, Held])
    fired: dict[Key, NewTimer] = field(default_factory=dict[Key, NewTimer])
    wanted: dict[tuple[str, str], NewEffect] = field(default_factory=dict[tuple[str, str], NewEffect])

    async def run(self) -> MemoryStore:
        chance = Random(self.seed)
        store = MemoryStore(self.clock, self.tables)
        company = await HandCompany(store, KINDS, self.clock, chance).open()
        for _ in range(COMMITS):
            if chance.random() < 0.2:
                await self._fire(store, company)
            for _ in range(chance.randrange(3)):
                await company.perform()
            for _ in range(chance.randrange(2)):
                address = wheel(chance.choice(WHEELS), chance.choice(PROJECTS))
                company.arrive(address, Turn(chance.randrange(100), chance.randrange(4)))
            self._record(company, await company.commit(chance.random()))
        while await company.perform() or await company.waiting():  # What is under way comes to its end.
            self._record(company, await company.commit())
        return store

    async def _fire(self, store: MemoryStore, company: HandCompany) -> None:
        while self.calm and (await company.waiting() or company.arrived):
            self._record(company, await company.commit())
        self.clock.advance(1.0)
        due = {key: row.timer for key, row in self.tables.timers.items() if row.timer.due <= self.clock.now}
        self.fired |= due
        await store.fire_timers(100)

    def _record(self, company: HandCompany, works: list[Work]) -> None:
        for unit_ in [work.unit for work in works]:
            for timer in unit_.timers:
                self.fired.pop((unit_.address, timer.key), None)
            for key in (*unit_.cancels, *(_fired_key(e.causation) for e in unit_.events)):
                self.fired.pop((unit_.address, key), None)
            self.wanted |= {(unit_.address.project, effect.key): effect for effect in unit_.effects}
        outcomes = [w.send for w in self.tables.outbox.values() if w.send.outcome_of]
        self.held[self.tables.head] = Held(
            tuple(s for s in _sends(self.tables) if not s.id.startswith("timer:")),
            {key: row.timer for key, row in self.tables.timers.items()},
            {key: row.effect for key, row in self.tables.effects.items()},
            frozenset(_named(send) for send in company.silent),
            dict(self.fired),
            {(s.to.project, s.outcome_of): self.wanted[s.to.project, s.outcome_of] for s in outcomes},
        )


def _fired_key(causation: str) -> str:
    return causation.removeprefix("timer:").rpartition(":")[0] if causation.startswith("timer:") else ""


def _sends(tables: Tables) -> list[PendingSend]:
    return [waiting.send for waiting in tables.outbox.values() if not waiting.send.outcome_of]


async def forked(store: EventStore, position: int) -> Tables:
    async with store.forks.creating(position, f"at_{position}") as draft:
        await reenact(draft, KINDS)
    async with store.forks.opened(f"at_{position}") as fork:
        assert isinstance(fork, MemoryStore)
        return fork._tables  # pyright: ignore[reportPrivateUsage]


def unnumbered(send: PendingSend) -> PendingSend:
    return replace(send, outbox_id=0)


Timed = TypeVar("Timed", PendingSend, NewEffect, NewTimer)


def _timeless(what: Timed) -> Timed:
    """But for the clock its turn saw."""
    return replace(what, due=NOON) if isinstance(what, NewTimer) else replace(what, at=NOON)


def _named(send: PendingSend) -> tuple[str, str]:
    return send.to.project, send.id


@pytest.mark.parametrize("calm", [True, False])
@pytest.mark.parametrize("seed", range(8))
async def test_what_was_under_way_after_every_commit(seed: int, calm: bool) -> None:
    recording = Recording(seed, calm)
    store = await recording.run()
    assert len(recording.held) > COMMITS / 2
    seen = {"silent": 0, "fired": 0, "performed": 0}
    for position, held in recording.held.items():
        if not position:
            continue
        tables = await forked(store, position)
        sends = [unnumbered(send) for send in _sends(tables)]
        again = {_named(send) for send in sends} - {_named(send) for send in held.sends}
        assert again <= held.silent
        # Whatever is still in the outbox is there with the same id, bytes and time, and in the same order.
        really = [unnumbered(send) for send in held.sends]
        found = [send for send in sends if _named(send) not in again]
        assert [_timeless(send) for send in found] == [_timeless(send) for send in really]
        assert not calm or found == really
        seen["silent"] += len(again)

        timers = {key: row.timer for key, row in tables.timers.items()}
        if calm:
            assert timers == held.timers | held.fired
        else:
            # A turn that took its command late set its timer later than the log can tell: it may seem to have fired.
            held_timers = {key: _timeless(timer) for key, timer in (held.timers | held.fired).items()}
            assert {key: _timeless(timer) for key, timer in timers.items()}.items() <= held_timers.items()
        seen["fired"] += len(held.fired)

        effects = {key: row.effect for key, row in tables.effects.items()}
        open_ = held.effects | held.performed
        assert {key: _timeless(effect) for key, effect in effects.items()} == {
            k: _timeless(e) for k, e in open_.items()
        }
        assert not calm or effects == open_
        for key, effect in effects.items():
            outcome = tables.recorded[key]  # All came to an end in the original, later.
            assert outcome.work == hashlib.sha256(effect.body).digest()
        seen["performed"] += len(held.performed)
    assert all(seen.values()), f"a run that shows too little: {seen}"


async def test_also_inside_a_commit() -> None:
    """Nothing wanted by an event that is not there, and nothing that one of these settled is gone."""
    store = await Recording(3, calm=False).run()
    for position in range(1, await store.head()):
        tables = await forked(store, position)
        references = {(event.address.project, event.reference) for event in tables.events}
        causes = {(event.address.project, event.causation) for event in tables.events}
        for send in _sends(tables):
            assert (send.to.project, send.causation) in references
            assert (send.to.project, send.id) not in causes
        for (project, key), row in tables.effects.items():
            assert (project, row.effect.causation) in references
            assert (project, f"{key}:outcome") not in causes
        assert {(a.project, row.timer.causation) for (a, _), row in tables.timers.items()} <= references


async def test_a_history_that_cannot_be_read_is_named() -> None:
    store = MemoryStore()
    owner = await Owner.of(store, 0)
    told = event(1, type_="wheel.turned.v9")
    await owner.commit(unit(expected=0, address=wheel("w1"), events=(told,)))
    with pytest.raises(CannotReenact, match=r"demo/wheel/w1: event 1 \(wheel.turned.v9\): UnknownTag.*add an upcaster"):
        async with store.forks.creating(1, "f1") as draft:
            await reenact(draft, KINDS)
    assert await store.forks.listed() == []
    with pytest.raises(CannotReenact, match=r"demo/wheel/w1 is of a kind that is unknown here; the kinds are none"):
        async with store.forks.creating(1, "f1") as draft:
            await reenact(draft, {})
    async with store.forks.creating(0, "f1") as draft:  # What comes after the position needs not be readable.
        assert (await reenact(draft, KINDS)).unread == ("demo/wheel/w1",)
        assert (await reenact(draft, {})).actors == 0


async def test_a_core_that_breaks_on_its_history_is_named() -> None:
    def broken(_: Wheel, __: object) -> Wheel:
        raise RuntimeError("not like this")

    kind = Kind("wheel", (Turn,), (Turned,), WHEEL.initial, WHEEL.decide, broken, WHEEL.react)
    store = await Recording(1, calm=True).run()
    with pytest.raises(CannotReenact, match=r"/wheel/w\d: event 1 .*RuntimeError: not like this"):
        async with store.forks.creating(await store.head(), "f1") as draft:
            await reenact(draft, {"wheel": kind})
