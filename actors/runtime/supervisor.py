"""One process of the company: owns partitions, runs turns, performs effects, and stops in bounded time.

What survives a crash is in the store; starting again resumes from there. Processes come and go; each owns its share of
the partitions, and a partition lost to another costs that partition only. Outages of NATS or PostgreSQL are waited out.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from socket import gethostname

import anyio
import structlog

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


@asynccontextmanager
async def running(
    store: EventStore,
    bus: Bus,
    kinds: Kinds,
    performers: Performers,
    clock: Clock,
    alone: bool,
    metrics: RuntimeMetrics | None = None,
    keyring: Keyring | None = None,
    fork: Fork | None = None,
    chance: Random | None = None,
) -> AsyncGenerator[Runtime]:
    """Be one process of the company until the block ends. `alone`: this one holds its state folder's lock, so a
    forerunner is dead, and its leases and effect claims are taken over at once; others may join. Without a keyring
    personal text is refused. In a `fork` the original's order of commands is kept, and its record answers effects.
    `chance` draws ids and spreads retries."""
    chance = chance or any_chance()
    metrics = metrics or RuntimeMetrics(kinds=kinds)
    me = Worker(new_uuid(chance), alone, tuple(sorted(performers)), gethostname(), os.getpid())
    ownership = Ownership(store, bus, me, chance, metrics)
    cursors, mailboxes = Cursors(), Mailboxes()
    timekeeper = Timekeeper(store, bus, ownership.held)
    pressure = Pressure(mailboxes, cursors, bus, metrics)
    committer = Committer(
        store, bus, kinds, mailboxes, cursors, ownership, clock, timekeeper.changed, metrics, pressure
    )  # fmt: skip
    record = Record(store.forks, kinds, fork.live) if fork else None
    score = Score(store, bus, mailboxes, tuple(performers)) if fork else None
    worker = EffectWorker(store, bus, performers, clock, metrics, record, me.id, chance)
    intake = Intake(store, bus, kinds, mailboxes, cursors, clock, metrics, Sealer(keyring), score, pressure)
    ownership.watch(intake.gained, intake.lost)
    ownership.watch(lambda _: timekeeper.changed(), committer.lost)
    ownership.on_vacate(committer.vacate)
    if alone:
        others = [w.id for w in (await store.workers.roster()).workers if not w.alone]
        freed = await store.release_claims([me.id, *others])
        log.info("supervisor.took_over", effects=freed)
    runtime = Runtime(worker, ownership)
    try:
        await ownership.join()
        async with anyio.create_task_group() as group:
            group.start_soon(ownership.run)
            group.start_soon(intake.run)
            if score is not None:
                group.start_soon(score.run)
            group.start_soon(committer.run)
            group.start_soon(Sweeper(store, bus, cursors, ownership.held, metrics).run)
            group.start_soon(Eraser(bus, cursors, pressure.ease).run)
            group.start_soon(timekeeper.run)
            group.start_soon(worker.run)
            try:
                yield runtime
            finally:
                with anyio.CancelScope(shield=True):
                    await runtime.drain()
                group.cancel_scope.cancel()
    finally:
        await _hand_over(committer, ownership)


async def _hand_over(committer: Committer, ownership: Ownership) -> None:
    """Whoever comes next need not wait for the leases to run out, nor read again what is settled."""
    with anyio.move_on_after(RELEASE_S_MAX, shield=True):
        try:
            if ownership.current(ownership.held):
                await committer.advance()
            await ownership.release()
        except StoreError as error:
            log.warning("supervisor.release_failed", error=str(error))
