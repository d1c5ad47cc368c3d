"""One process of the company: owns its partitions, runs turns, performs effects, and stops in bounded time.

What survives a crash is in the store; starting again resumes from there. A fence lost to another process ends this one
(OwnershipLost); outages of NATS or PostgreSQL are waited out.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import structlog

from actors.runtime.commit import Committer
from actors.runtime.cursor import Cursors
from actors.runtime.effects import EffectWorker
from actors.runtime.intake import Intake
from actors.runtime.kind import Kinds, Performers
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ownership import Ownership
from actors.runtime.ports import Bus, Clock
from actors.runtime.record import Record
from actors.runtime.score import Score
from actors.runtime.sealing import Sealer
from actors.runtime.services import Sweeper, Timekeeper
from eventstore.forking import Fork
from eventstore.keyring import Keyring
from eventstore.store import EventStore, StoreError
from protocol.subjects import PARTITIONS

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
) -> AsyncGenerator[Runtime]:
    """Run the company until the block ends. `alone`: no other process can be alive on this log (we hold its folder's
    lock), so leases and effect claims of the dead are taken over at once. Without a keyring personal text is
    refused. In a `fork` the original's order of commands is kept, and its record answers effects."""
    partitions = list(range(PARTITIONS))
    metrics = metrics or RuntimeMetrics(kinds=kinds)
    ownership = Ownership(store, partitions, alone, metrics)
    cursors = Cursors(await ownership.acquire())
    mailboxes = Mailboxes()
    timekeeper = Timekeeper(store, bus)
    committer = Committer(
        store, bus, kinds, mailboxes, cursors, ownership.held, clock, ownership.valid, timekeeper.changed,
        metrics,
    )  # fmt: skip
    record = Record(store.forks, kinds, fork.live) if fork else None
    score = Score(store, bus, mailboxes, tuple(performers)) if fork else None
    worker = EffectWorker(store, bus, performers, clock, metrics, record)
    if alone:
        freed = await store.release_claims(worker.worker)
        log.info("supervisor.took_over", effects=freed)
    runtime = Runtime(worker, ownership)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(ownership.run)
            intake = Intake(store, bus, kinds, mailboxes, cursors, clock, metrics, Sealer(keyring), score)
            group.start_soon(intake.run)
            if score is not None:
                group.start_soon(score.run)
            group.start_soon(committer.run)
            group.start_soon(Sweeper(store, bus, cursors, partitions, metrics).run)
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
            if ownership.current:
                await committer.advance()
            await ownership.release()
        except StoreError as error:
            log.warning("supervisor.release_failed", error=str(error))
