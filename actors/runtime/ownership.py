"""Which partitions this process may write, and until when it may believe so.

- Every acquisition begins a new epoch. The fence in the store (epoch and owner) decides; all else here only avoids
  running into it. A partition that was lost costs this process that partition and nothing more.
- Leases are renewed at a third of their time; who could not renew starts nothing in the last SAFETY_S of one.
- Partitions are spread evenly over the processes that are alive. Who has too many lets go of one after the other, each
  once nothing of it is under way; who has too few takes what is free. What a killed process had is free when its lease
  is over, and taken then.
- The one process under a state folder's lock (`alone`) knows that its forerunner is dead, and takes over from it at
  once.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

import anyio
import structlog

from actors.runtime.chance import any_chance
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus
from eventstore.store import EventStore, Lease, StoreUnavailable
from eventstore.workers import Roster, Worker
from protocol.subjects import PARTITIONS

LEASE_TTL_S = 5.0
RENEW_EVERY_S = LEASE_TTL_S / 3
RENEW_AGAIN_S = LEASE_TTL_S / 10  # After a failure.
SAFETY_S = 0.5  # Start nothing that long before the lease ends.
VACATE_S_MAX = 1.0  # A partition in which something is under way for longer is kept, and tried again.
EXPIRY_MARGIN_S = 0.01  # A lease is looked at that long after its end.
WORKERS_BELL = "workers"  # Rung when partitions became free, or somebody came or went.

Gained = Callable[[Sequence[Lease]], None]
Lost = Callable[[Collection[int]], None]

log = structlog.get_logger("ownership")


class OwnershipLost(Exception):
    """A partition that was to be written has another owner, and so has what was under way in it."""


@dataclass(frozen=True, slots=True)
class Held:
    """The fence under which this process writes one partition."""

    epoch: int
    owner: UUID


class Ownership:
    """The leases of one process. `held` is what it may write."""

    def __init__(
        self,
        store: EventStore,
        bus: Bus,
        worker: Worker,
        chance: Random | None = None,
        metrics: RuntimeMetrics | None = None,
        partitions: Collection[int] = range(PARTITIONS),
    ) -> None:
        self.worker = worker
        self.held: dict[int, Held] = {}
        self._store, self._bus, self._partitions = store, bus, sorted(partitions)
        self._chance = chance or any_chance()
        self._metrics = metrics or RuntimeMetrics()
        self._until: dict[int, float] = {}
        self._gained: list[Gained] = []
        self._lost: list[Lost] = []
        self._vacate: Callable[[int], Awaitable[None]] = _at_once
        self._resume: Callable[[Collection[int]], None] = lambda _: None
        self._stirred, self._renewed = anyio.Event(), anyio.Event()

    def watch(self, gained: Gained, lost: Lost) -> None:
        """Have `gained` called with each partition's lease before anything is done in it, and `lost` when nothing may
        be done in it any more."""
        self._gained.append(gained)
        self._lost.append(lost)

    def on_vacate(self, vacate: Callable[[int], Awaitable[None]], resume: Callable[[Collection[int]], None]) -> None:
        """Before a partition is let go, have `vacate` end what is under way in it; `resume` when it is kept after
        all."""
        self._vacate, self._resume = vacate, resume

    async def join(self) -> None:
        """Be one of the company's processes, and own what is free of this one's share. StoreUnavailable."""
        await self._store.workers.beat(self.worker, LEASE_TTL_S)
        roster = await self._store.workers.roster()
        if self.worker.alone:
            forerunners = [w.id for w in roster.workers if w.alone and w.id != self.worker.id]
            await self._store.workers.leave(*forerunners)
            others = {w.id for w in roster.workers if not w.alone}
            theirs = {h.partition for h in roster.holdings if h.owner in others and h.expires_in_s > 0}
            await self._acquire([p for p in self._partitions if p not in theirs and p not in self.held], takeover=True)
        else:
            await self._balance(roster)
        await self._ring()

    async def run(self) -> None:
        """Renew and share until cancelled."""
        await self._bus.on_effects([WORKERS_BELL], self.stir)
        rest_s = RENEW_EVERY_S
        while True:
            with anyio.move_on_after(rest_s):
                await self._stirred.wait()
            self._stirred = anyio.Event()
            try:
                # In this order: who is dead is off the roster before its leases are over.
                await self._store.workers.beat(self.worker, LEASE_TTL_S)
                await self._renew()
                rest_s = await self._balance(await self._store.workers.roster())
            except StoreUnavailable as error:
                log.warning("ownership.renewal_waits", error=str(error))
                self._metrics.lease_renewals_failed.inc()
                rest_s = RENEW_AGAIN_S

    def stir(self) -> None:
        """Look at the roster now."""
        self._stirred.set()

    def current(self, partitions: Iterable[int]) -> bool:
        """Is there time enough left on these leases to start a commit?"""
        latest = anyio.current_time() + SAFETY_S
        return all(self._until.get(partition, 0.0) > latest for partition in partitions)

    @property
    def fresh(self) -> bool:
        """Is there, on every lease?"""
        return self.current(self.held)

    async def valid(self, partitions: Collection[int], under: Mapping[int, Held]) -> None:
        """Return when there is. OwnershipLost when one of them is not held under that lease any more."""
        while True:
            gone = [p for p in partitions if p not in under or self.held.get(p) is not under[p]]
            if gone:
                raise OwnershipLost(f"{len(gone)} partitions (first: {gone[0]}) have another owner")
            if self.current(partitions):
                return
            await self._renewed.wait()

    def lose(self, partitions: Collection[int]) -> None:
        """Others own these now, or nobody."""
        mine = sorted(partition for partition in partitions if partition in self.held)
        if mine:
            log.warning("ownership.lost", partitions=mine)
            self._drop(mine, released=False)
            self.stir()

    async def release(self) -> None:
        """Leave: whoever takes over need not wait for the leases to end. StoreUnavailable."""
        await self._store.workers.leave(self.worker.id)
        partitions = list(self.held)
        self._drop(partitions, released=True)
        await self._store.release(partitions, self.worker.id)
        await self._ring()

    async def _renew(self) -> None:
        asked_at, asked = anyio.current_time(), list(self.held)
        renewed = await self._store.renew(asked, self.worker.id, LEASE_TTL_S) if asked else set[int]()
        self._until.update({p: asked_at + LEASE_TTL_S for p in renewed if p in self.held})
        self.lose([partition for partition in asked if partition not in renewed])
        self._renewed.set()
        self._renewed = anyio.Event()

    async def _balance(self, roster: Roster) -> float:
        """Take what is free, or let go of what is too much; how long to rest until the next look."""
        self.lose(self._outdated(roster))
        share = self._share(roster)
        if len(self.held) < share:
            taken = {h.partition for h in roster.holdings if h.owner != self.worker.id and h.expires_in_s > 0}
            free = [p for p in self._partitions if p not in taken and p not in self.held]
            self._chance.shuffle(free)  # Two that reach for the same ones would each get few.
            await self._acquire(free[: share - len(self.held)], takeover=False)
        while len(self.held) > share:
            if not await self._let_go(max(self.held)):
                return RENEW_AGAIN_S
        ends = [h.expires_in_s for h in roster.holdings if h.owner != self.worker.id]
        return max(EXPIRY_MARGIN_S, min([RENEW_EVERY_S, *(end + EXPIRY_MARGIN_S for end in ends)]))

    def _outdated(self, roster: Roster) -> list[int]:
        """Partitions that are this process's under another epoch than it knows: an acquisition that was given up as
        unanswered has happened after the one that was made instead."""
        mine = {h.partition: h.epoch for h in roster.holdings if h.owner == self.worker.id}
        return [p for p, held in self.held.items() if mine.get(p, held.epoch) != held.epoch]

    def _share(self, roster: Roster) -> int:
        """How many partitions are this process's: as many as everybody's, the first ones in order one more."""
        alive = sorted({self.worker.id, *(worker.id for worker in roster.workers)})
        each, over = divmod(len(self._partitions), len(alive))
        return each + (alive.index(self.worker.id) < over)

    async def _acquire(self, partitions: Sequence[int], takeover: bool) -> None:
        if not partitions:
            return
        asked_at, leases = anyio.current_time(), list[Lease]()
        # Who stops must hear which ones it got: nobody else can let go of them before their lease ends.
        with anyio.CancelScope(shield=True):
            leases = await self._store.acquire(partitions, self.worker.id, LEASE_TTL_S, takeover)
        for lease in leases:
            self.held[lease.partition] = Held(lease.epoch, self.worker.id)
            self._until[lease.partition] = asked_at + LEASE_TTL_S
        if leases:
            unclean = sum(not lease.clean for lease in leases)
            log.info("ownership.gained", partitions=len(leases), held=len(self.held), unclean=unclean)
            self._metrics.partitions_held.set(len(self.held))
            self._metrics.leases_gained(len(leases) - unclean, unclean)
            for gained in self._gained:
                gained(leases)

    async def _let_go(self, partition: int) -> bool:
        """False: it is kept for now. What is under way may wait for a renewal of the very lease, so this must end."""
        with anyio.move_on_after(VACATE_S_MAX) as vacating:
            await self._vacate(partition)
        if vacating.cancelled_caught:
            log.warning("ownership.kept", partition=partition, waited_s=VACATE_S_MAX)
            self._resume([partition])
            return False
        if partition in self.held:
            self._drop([partition], released=True)
            await self._store.release([partition], self.worker.id)
            await self._ring()
        return True

    def _drop(self, partitions: Collection[int], released: bool) -> None:
        for partition in partitions:
            del self.held[partition], self._until[partition]
        self._metrics.partitions_held.set(len(self.held))
        self._metrics.leases_ended(len(partitions), released)
        for lost in self._lost:
            lost(partitions)
        self._renewed.set()
        self._renewed = anyio.Event()

    async def _ring(self) -> None:
        await self._bus.ring_effects([WORKERS_BELL])


async def _at_once(_: int) -> None:
    """Nothing is under way."""
