"""An effect worker on a store in memory, with actors that want what a test says: no server, no turn."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import anyio
import msgspec

from actors.runtime.effects import EffectWorker
from actors.runtime.follow import followed
from actors.runtime.kind import CancelEffect, Effect, EffectCall, Performer
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import NO_TRACES
from actors.runtime.taps import Taps
from eventstore.memory.store import MemoryStore
from eventstore.store import EventStore, NewEffect, PendingSend
from protocol.message import Command
from protocol.subjects import Address
from tests.kit.counting import KINDS, Job, Report
from tests.kit.noting_bus import NotingBus
from tests.kit.units import Owner, unit

PATIENCE_S = 20.0
WORKER = Address("demo", "worker", "w1")


def give_up(_: EffectCall, work: Job, error: str) -> Command:
    return Report(work.job, f"gave up: {error}")


def job_performer(perform: Any, **more: Any) -> Performer:
    settings: dict[str, Any] = {"give_up": give_up, "concurrent_max": 4, "attempts_max": 3, "timeout_s": PATIENCE_S}
    return Performer("job", Job, perform, **(settings | more))


class RingingBus(NotingBus):
    """Bells are heard by everybody who listens on this bus."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[tuple[set[str], Callable[[], None]]] = []

    async def ring_effects(self, kinds: Sequence[str], traces: Mapping[str, str] = NO_TRACES) -> None:
        self.effects.extend(kinds)
        for wanted, wake in self.listeners:
            if wanted & set(kinds):
                wake()

    async def on_effects(self, kinds: Sequence[str], wake: Callable[[], None]) -> None:
        self.listeners.append((set(kinds), wake))


@dataclass
class Room:
    """What there is around the workers. `want` and `cancel` are an actor's reactions, committed."""

    store: EventStore
    owner: Owner
    bus: RingingBus = field(default_factory=RingingBus)
    metrics: RuntimeMetrics = field(default_factory=RuntimeMetrics)
    version: int = 0

    @classmethod
    async def open(cls, store: EventStore | None = None) -> "Room":
        made = store or MemoryStore()
        return cls(made, await Owner.of(made, 0))

    async def react(self, *reactions: Any) -> list[NewEffect]:
        """One more event of the actor, and what follows from it."""
        self.version += 1
        made = followed(reactions, WORKER, self.version, datetime.now(UTC), "run")
        effects = tuple(what for what in made if isinstance(what, NewEffect))
        wanted = unit(WORKER.name, self.version - 1, f"c{self.version}", address=WORKER, effects=effects)
        (verdict,) = await self.owner.commit(wanted)
        assert verdict.status == "committed"
        await self.bus.ring_effects([effect.effect_kind for effect in effects])
        return list(effects)

    async def want(self, job: str, safety: Any = "repeatable", name: str = "", deadline_s: float | None = None) -> str:
        """Want a job; its key."""
        return (await self.react(Effect("job", Job(job), safety, name, deadline_s)))[0].key

    async def cancel(self, name: str) -> None:
        await self.react(CancelEffect(name))

    @asynccontextmanager
    async def works(
        self, *performers: Performer, kinds: Any = KINDS, taps: Taps | None = None
    ) -> AsyncGenerator[EffectWorker]:
        """One more worker, until the block ends."""
        worker = EffectWorker(
            self.store, self.bus, {p.kind: p for p in performers}, lambda: datetime.now(UTC), self.metrics,
            chance=Random(7), kinds=kinds, taps=taps,
        )  # fmt: skip
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            yield worker
            group.cancel_scope.cancel()

    async def sent(self, count: int = 1) -> list[PendingSend]:
        """What the actor is sent, once it is that many."""
        with anyio.fail_after(PATIENCE_S):
            while len(found := await self.store.pending_sends([WORKER], 100)) < count:
                await anyio.sleep(0.005)
        return found

    async def heard(self, count: int = 1) -> dict[str, str]:
        """What each job came to, in the outcomes that the actor is sent."""
        reports = [msgspec.json.decode(send.body, type=Report) for send in await self.sent(count)]
        return {report.job: report.came_to for report in reports}

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"troupe_{name}", labels) or 0.0
