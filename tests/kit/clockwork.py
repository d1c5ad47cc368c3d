"""A kind of actor that does everything a kind can, by the numbers it is sent: sends, timers set, set again, set by
their own firing and cancelled, effects, several events at once, silence and refusals. And a company of them, by hand.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, assert_never
from uuid import UUID, uuid4

import msgspec

from actors.runtime.kind import Cancel, Effect, Kind, Kinds, Reaction, Send, Timer
from actors.runtime.mailboxes import from_row
from actors.runtime.turn import Loaded, Pending
from actors.runtime.work import Work, decide
from eventstore.store import Batch, ClaimedEffect, EffectOutcome, EventStore, Fence, PendingSend
from protocol.codec import encode
from protocol.envelope import Envelope
from protocol.message import Command, Event, Refusal, tag_of
from protocol.subjects import PARTITIONS, Address, partition_of
from tests.kit.units import NOON

WHEELS = tuple(f"w{n}" for n in range(5))
PROJECTS = ("demo", "other")


class Turn(Command, frozen=True, tag="wheel.turn.v1"):
    n: int
    depth: int


class Ring(Command, frozen=True, tag="wheel.ring.v1"):
    n: int


class Done(Command, frozen=True, tag="wheel.done.v1"):
    n: int


class Turned(Event, frozen=True, tag="wheel.turned.v1"):
    n: int
    depth: int


class Rang(Event, frozen=True, tag="wheel.rang.v1"):
    n: int


class Worked(Event, frozen=True, tag="wheel.worked.v1"):
    n: int


class Wheel(msgspec.Struct, frozen=True):
    name: str
    sum: int = 0


class Labour(msgspec.Struct, frozen=True, tag="wheel.labour"):
    n: int
    sum: int


def _decide(_: Wheel, command: Turn | Ring | Done) -> tuple[Event, ...]:
    match command:
        case Turn(n=n, depth=depth):
            if n % 7 == 6:
                raise Refusal("stuck", f"{n} does not turn")
            return () if n % 5 == 4 else tuple(Turned(n + 3 * k, depth) for k in range(1 + n % 3))
        case Ring(n=n):
            return () if n % 4 == 3 else (Rang(n), Rang(n + 1))
        case Done(n=n):
            return () if n % 3 == 2 else (Worked(n),)
        case _:
            assert_never(command)


def _evolve(state: Wheel, event: Turned | Rang | Worked) -> Wheel:
    return Wheel(state.name, state.sum + event.n)


def _react(state: Wheel, event: Turned | Rang | Worked) -> tuple[Reaction, ...]:
    n, key = event.n, f"t:{event.n % 2}"  # A key that looks like the end of a firing's name.
    match event:
        case Turned(depth=0):
            return (Cancel(key),) if n % 2 else ()
        case Turned(depth=depth):
            sends = tuple(
                Send("wheel", WHEELS[(n * k + state.sum) % len(WHEELS)], Turn(n * k + state.sum, depth - 1))
                for k in range(1, 1 + n % 3)
            )
            timer = (Timer(key, float(n % 4), Ring(n)),) if n % 3 else (Cancel(key),)
            return (*sends, *timer, Effect("labour", Labour(n, state.sum), "repeatable")) if n % 2 else (*timer, *sends)
        case Rang():
            return (Timer(key, 1.0 + n % 2, Ring(n + 5)),) if n % 3 == 0 else ()
        case Worked():
            return (Timer(key, 2.0, Ring(n)),) if n % 2 else ()
        case _:
            assert_never(event)


def _initial(address: Address) -> Wheel:
    return Wheel(address.name)


WHEEL = Kind("wheel", (Turn, Ring, Done), (Turned, Rang, Worked), _initial, _decide, _evolve, _react, external=(Turn,))
KINDS: Kinds = {"wheel": WHEEL}


@dataclass
class HandClock:
    """A time that goes on only when told to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class HandCompany:
    """Actors on a store, turned by hand: no bus and no waiting. `silent` are ids of sends that led to nothing."""

    store: EventStore
    kinds: Kinds
    clock: Callable[[], datetime]
    chance: Random
    id: UUID = field(default_factory=uuid4)
    epochs: Mapping[int, int] = field(default_factory=dict[int, int])
    arrived: list[Pending] = field(default_factory=list[Pending])
    silent: list[PendingSend] = field(default_factory=list[PendingSend])
    count: int = 0

    async def open(self) -> "HandCompany":
        leases = await self.store.acquire(range(PARTITIONS), self.id, 3600, takeover=True)
        self.epochs = {lease.partition: lease.epoch for lease in leases}
        return self

    def arrive(self, address: Address, command: Command) -> None:
        """A command from outside, decided in a later commit."""
        self.count += 1
        id_ = f"x{self.count}"
        envelope = Envelope(id=id_)
        self.arrived.append(
            Pending(address, id_, tag_of(command), encode(command), self.clock(), "run", envelope, command)
        )

    async def waiting(self) -> list[PendingSend]:
        """Every outbox row, oldest first."""
        receivers = await self.store.overdue_sends(range(PARTITIONS), -3600.0, 10_000)
        return await self.store.pending_sends(receivers, 10_000)

    async def commit(self, share: float = 1.0) -> list[Work]:
        """Decide some commands of about that share of the actors that have any, in one batch."""
        rows = await self.waiting()
        box: dict[Address, list[Pending]] = {}
        for pending in (*self.arrived, *(from_row(self.kinds, row) for row in rows)):
            box.setdefault(pending.address, []).append(pending)
        chosen = [address for address in box if self.chance.random() < share] or list(box)[:1]
        works = await self.take([p for address in chosen for p in box[address][: self.chance.randint(1, 4)]])
        fates = {(work.address, row.id): row for work in works for row in work.unit.settled}
        for row in rows:
            fate = fates.get((row.to, row.id))
            if fate is not None and fate.outcome in ("silent", "refused") and not fate.keep:
                self.silent.append(row)
        return works

    async def take(self, commands: Iterable[Pending]) -> list[Work]:
        """Decide these commands, each actor's in their order, and commit them in one batch."""
        box: dict[Address, list[Pending]] = {}
        for pending in commands:
            box.setdefault(pending.address, []).append(pending)
        works: list[Work] = []
        for address, some in box.items():
            kind = self.kinds[address.kind]
            works += decide(kind, address, await self.loaded(kind, address), some, self.clock())[0]
        partitions = {work.unit.partition for work in works}
        fences = tuple(Fence(p, self.epochs[p], self.id, 0, "") for p in partitions)
        verdicts = await self.store.commit(Batch(fences, tuple(work.unit for work in works)))
        assert [verdict.status for verdict in verdicts] == ["committed"] * len(works)
        settled = {(work.address, row.id) for work in works for row in work.unit.settled}
        self.arrived = [p for p in self.arrived if (p.address, p.id) not in settled]
        return works

    async def perform(self) -> ClaimedEffect | None:
        """Bring one effect to its outcome."""
        for effect in await self.store.claim_effects(["labour"], self.id, 60.0, 1):
            work = msgspec.json.decode(effect.body, type=Labour)
            outcome = Done(work.n + work.sum)
            partition = partition_of(effect.address)
            assert await self.store.finish_effect(
                effect, EffectOutcome(tag_of(outcome), encode(outcome), self.clock()), partition
            )
            return effect
        return None

    async def loaded(self, kind: Kind[Any], address: Address) -> Loaded:
        state, version = kind.initial(address), 0
        while page := await self.store.read_stream(address, version):
            for recorded in page:
                state = kind.evolve(state, kind.event_vocabulary.decode(recorded.body, recorded.type))
                version = recorded.version
        return Loaded(state, version)


def wheel(name: str, project: str = PROJECTS[0]) -> Address:
    return Address(project, "wheel", name)
