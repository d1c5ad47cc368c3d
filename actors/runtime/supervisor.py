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
from anyio.abc import TaskGroup

from actors.runtime.activation import CacheLimits
from actors.runtime.chance import any_chance, new_uuid
from actors.runtime.commit import Committer
from actors.runtime.cursor import Cursors
from actors.runtime.effects import EffectWorker
from actors.runtime.garbage import collect_seldom
from actors.runtime.intake import Intake
from actors.runtime.kind import Kinds, Performers
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ownership import Ownership
from actors.runtime.ports import Bus, Clock
from actors.runtime.pressure import Pressure
from actors.runtime.progress import Progress
from actors.runtime.record import Record
from actors.runtime.score import Score
from actors.runtime.sealing import Sealer
from actors.runtime.services import Eraser, Sweeper, Timekeeper
from actors.runtime.supervision import nothing, supervised
from actors.runtime.taps import NoTaps, Taps
from actors.runtime.tracing import NO_TRACER, Tracer
from actors.runtime.watchdog import Watchdog
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

    def __init__(self, worker: EffectWorker, ownership: Ownership, progress: Progress) -> None:
        self.worker = worker
        self.ownership = ownership
        self.progress = progress

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
        watchdog: Watchdog | None, taps: Taps, tracer: Tracer,
    ) -> None:  # fmt: skip
        self.metrics = metrics
        me = Worker(new_uuid(chance), alone, tuple(sorted(performers)), gethostname(), os.getpid())
        cursors, mailboxes = Cursors(), Mailboxes()
        metrics.commands_open.set_function(lambda: cursors.open_count)
        metrics.partition_open_commands.set_function(lambda: cursors.open_most)
        self._mailboxes = mailboxes
        pressure = Pressure(mailboxes, cursors, bus, metrics)
        self.ownership = Ownership(store, bus, me, chance, metrics)
        timekeeper = Timekeeper(store, bus, self.ownership.held)
        self.committer = Committer(
            store, bus, kinds, mailboxes, cursors, self.ownership, clock, timekeeper.changed, metrics, pressure, cache,
            watchdog, tracer,
        )  # fmt: skip
        poison = self.committer.poison
        self.progress = Progress(store, mailboxes, self.committer, metrics)
        record = Record(store.forks, kinds, fork.live) if fork else None
        score = Score(store, bus, mailboxes, tuple(performers)) if fork else None
        self.worker = EffectWorker(store, bus, performers, clock, metrics, record, me.id, chance, kinds, taps, tracer)
        intake = Intake(store, bus, kinds, mailboxes, cursors, clock, metrics, sealer, score, pressure, poison.learn)
        self.ownership.watch(poison.suspects.gained, poison.suspects.lost)
        self.ownership.watch(intake.gained, intake.lost)
        self.ownership.watch(self.committer.gained, self.committer.lost)
        self.ownership.watch(lambda _: timekeeper.changed(), lambda _: None)
        self.ownership.watch(lambda _: self.committer.asks.changed(), lambda _: None)
        self.ownership.on_vacate(self.committer.vacate, mailboxes.resume)
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
            "taps": taps.run,
            "progress": self.progress.run,
        }
        if watchdog is not None:
            self.services["watchdog"] = watchdog.run
        if score is not None:
            self.services["score"] = score.run

    def start(self, group: TaskGroup) -> None:
        """Run the services in `group`. What decides or owns begins afresh after a failure: it lets go of everything,
        and gains it again as the store has it."""
        for name, service in self.services.items():
            afresh = self._let_go if name in ("ownership", "committer") else nothing
            supervised(group, name, service, self.metrics, afresh)

    def _let_go(self) -> None:
        self.ownership.lose(list(self.ownership.held))
        self._mailboxes.forget_rows()

    async def hand_over(self) -> None:
        """Whoever comes next need not wait for the leases to run out, nor read again what is settled."""
        with anyio.move_on_after(RELEASE_S_MAX, shield=True):
            try:
                if self.ownership.fresh:
                    await self.committer.advance()
                leaving = self.committer.actors.leaving()
                await self.ownership.release()
                with anyio.move_on_after(SNAPSHOTS_S_MAX):
                    await self.committer.actors.rest(leaving)
            except StoreError as error:
                log.warning("supervisor.release_failed", error=str(error))


@asynccontextmanager
async def running(
    store: EventStore, bus: Bus, kinds: Kinds, performers: Performers, clock: Clock, alone: bool,
    metrics: RuntimeMetrics | None = None, keyring: Keyring | None = None, fork: Fork | None = None,
    chance: Random | None = None, cache: CacheLimits | None = None, watchdog: Watchdog | None = None,
    taps: Taps | None = None, tracer: Tracer = NO_TRACER,
) -> AsyncGenerator[Runtime]:  # fmt: skip
    """Be one process of the company until the block ends. `alone`: this one holds its state folder's lock, so a
    forerunner is dead, and its leases and effect claims are taken over at once; others may join. Without a keyring
    personal text is refused. In a `fork` the original's order of commands is kept, and its record answers effects.
    `chance` draws ids and spreads retries; `cache` bounds the memory of actors. The `watchdog` ends the process when it
    stands still. What effects say while they run goes to `taps`, spans to the `tracer`. ServiceFailed when
    a service fails again and again."""
    collect_seldom()
    metrics = metrics or RuntimeMetrics(kinds=kinds)
    process = Process(
        store, bus, kinds, performers, clock, alone, metrics, Sealer(keyring), fork, chance or any_chance(), cache,
        watchdog, taps or NoTaps(), tracer,
    )  # fmt: skip
    if alone:
        others = [w.id for w in (await store.workers.roster()).workers if not w.alone]
        freed = await store.release_claims([process.ownership.worker.id, *others])
        log.info("supervisor.took_over", effects=freed)
    runtime = Runtime(process.worker, process.ownership, process.progress)
    try:
        await process.ownership.join()
        async with anyio.create_task_group() as group:
            process.start(group)
            try:
                yield runtime
            finally:
                with anyio.CancelScope(shield=True):
                    await runtime.drain()
                group.cancel_scope.cancel()
    finally:
        await process.hand_over()
