"""One process of the company: owns partitions, runs turns, performs effects, and stops in bounded time.

What survives a crash is in the store; starting again resumes from there. Processes come and go; each owns its share of
the partitions, and a partition lost to another costs that partition only. Outages of NATS or PostgreSQL are waited out.
"""

import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from socket import gethostname
from typing import Any

import anyio
import structlog

from actors.runtime.activation import CacheLimits
from actors.runtime.chance import any_chance, new_uuid
from actors.runtime.commit import Committer
from actors.runtime.cursor import Cursors
from actors.runtime.effects import EffectWorker
from actors.runtime.intake import Intake
from actors.runtime.kind import Kinds, Performers
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ownership import Ownership
from actors.runtime.ports import Bus, Clock
from actors.runtime.pressure import Pressure
from actors.runtime.record import Record
from actors.runtime.score import Score
from actors.runtime.sealing import Sealer
from actors.runtime.services import Eraser, Sweeper, Timekeeper
from eventstore.forking import Fork
from eventstore.keyring import Keyring
from eventstore.store import EventStore, StoreError
from eventstore.workers import Worker

DRAIN_S_MAX = 10.0  # A clean stop waits that long for running effects; then they are repeated after the next start.
RELEASE_S_MAX = 5.0
SNAPSHOTS_S_MAX = 1.0  # A clean stop keeps snapshots for that long; they only save time.

Service = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger("supervisor")


class Runtime:
    """A running process of the company."""

    def __init__(self, worker: EffectWorker, ownership: Ownership) -> None:
        self.worker = worker
        self.ownership = ownership

    async def drain(self) -> None:
        """Start no new effects; wait for the running ones, at most DRAIN_S_MAX."""
        with anyio.move_on_after(DRAIN_S_MAX) as draining:
            await self.worker.drain()
        if draining.cancelled_caught:
            log.warning("supervisor.drain_cut", seconds=DRAIN_S_MAX)


class Process:
    """The parts of one process, wired. `services` run for as long as it lives."""

    def __init__(
        self, store: EventStore, bus: Bus, kinds: Kinds, performers: Performers, clock: Clock, alone: bool,
        metrics: RuntimeMetrics, sealer: Sealer, fork: Fork | None, chance: Random, cache: CacheLimits | None,
    ) -> None:  # fmt: skip
        me = Worker(new_uuid(chance), alone, tuple(sorted(performers)), gethostname(), os.getpid())
        cursors, mailboxes = Cursors(), Mailboxes()
        pressure = Pressure(mailboxes, cursors, bus, metrics)
        self.ownership = Ownership(store, bus, me, chance, metrics)
        timekeeper = Timekeeper(store, bus, self.ownership.held)
        self.committer = Committer(
            store, bus, kinds, mailboxes, cursors, self.ownership, clock, timekeeper.changed, metrics, pressure, cache
        )
        record = Record(store.forks, kinds, fork.live) if fork else None
        score = Score(store, bus, mailboxes, tuple(performers)) if fork else None
        self.worker = EffectWorker(store, bus, performers, clock, metrics, record, me.id, chance)
        intake = Intake(store, bus, kinds, mailboxes, cursors, clock, metrics, sealer, score, pressure)
        self.ownership.watch(intake.gained, intake.lost)
        self.ownership.watch(lambda _: timekeeper.changed(), self.committer.lost)
        self.ownership.watch(lambda _: self.committer.asks.changed(), lambda _: None)
        self.ownership.on_vacate(self.committer.vacate)
        self.services: dict[str, Service] = {
            "ownership": self.ownership.run,
            "intake": intake.run,
            "committer": self.committer.run,
            "actors": self.committer.actors.run,
            "sweeper": Sweeper(store, bus, cursors, self.ownership.held, metrics).run,
            "eraser": Eraser(bus, cursors, pressure.ease).run,
            "timekeeper": timekeeper.run,
            "asks": self.committer.asks.run,
            "effects": self.worker.run,
        }
        if score is not None:
            self.services["score"] = score.run

    async def hand_over(self) -> None:
        """Whoever comes next need not wait for the leases to run out, nor read again what is settled."""
        with anyio.move_on_after(RELEASE_S_MAX, shield=True):
            try:
                if self.ownership.fresh:
                    await self.committer.advance()
                await self.ownership.release()
                with anyio.move_on_after(SNAPSHOTS_S_MAX):
                    await self.committer.actors.rest()
            except StoreError as error:
                log.warning("supervisor.release_failed", error=str(error))


@asynccontextmanager
async def running(
    store: EventStore, bus: Bus, kinds: Kinds, performers: Performers, clock: Clock, alone: bool,
    metrics: RuntimeMetrics | None = None, keyring: Keyring | None = None, fork: Fork | None = None,
    chance: Random | None = None, cache: CacheLimits | None = None,
) -> AsyncGenerator[Runtime]:  # fmt: skip
    """Be one process of the company until the block ends. `alone`: this one holds its state folder's lock, so a
    forerunner is dead, and its leases and effect claims are taken over at once; others may join. Without a keyring
    personal text is refused. In a `fork` the original's order of commands is kept, and its record answers effects.
    `chance` draws ids and spreads retries; `cache` bounds the memory of actors."""
    metrics = metrics or RuntimeMetrics(kinds=kinds)
    process = Process(
        store, bus, kinds, performers, clock, alone, metrics, Sealer(keyring), fork, chance or any_chance(), cache
    )
    if alone:
        others = [w.id for w in (await store.workers.roster()).workers if not w.alone]
        freed = await store.release_claims([process.ownership.worker.id, *others])
        log.info("supervisor.took_over", effects=freed)
    runtime = Runtime(process.worker, process.ownership)
    try:
        await process.ownership.join()
        async with anyio.create_task_group() as group:
            for service in process.services.values():
                group.start_soon(service)
            try:
                yield runtime
            finally:
                with anyio.CancelScope(shield=True):
                    await runtime.drain()
                group.cancel_scope.cancel()
    finally:
        await process.hand_over()
