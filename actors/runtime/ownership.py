"""Which partitions this process may write, and until when it may believe so.

Every acquisition begins a new epoch. A lease is renewed at a third of its time; an owner that could not renew stops
starting commits before the lease ends. The fence in the store is what decides; this only avoids running into it.
"""

import random
from collections.abc import Collection
from time import monotonic
from uuid import UUID, uuid4

import anyio
import structlog

from actors.runtime.commit import Held, OwnershipLost
from actors.runtime.metrics import RuntimeMetrics
from eventstore.store import EventStore, Lease, StoreUnavailable

LEASE_TTL_S = 5.0
RENEW_EVERY_S = LEASE_TTL_S / 3
SAFETY_S = 0.5  # Stop that long before the lease ends.
ACQUIRE_RETRY_S = 0.25

log = structlog.get_logger("ownership")


class Ownership:
    """The leases of one process."""

    def __init__(
        self,
        store: EventStore,
        partitions: Collection[int],
        takeover: bool,
        metrics: RuntimeMetrics | None = None,
    ) -> None:
        self.owner: UUID = uuid4()
        self.held: dict[int, Held] = {}
        self._store, self._partitions, self._takeover = store, set(partitions), takeover
        self._metrics = metrics or RuntimeMetrics()
        self._until = 0.0
        self._renewed = anyio.Event()

    async def acquire(self) -> list[Lease]:
        """Own every partition; waits until the leases of others have run out, or takes over at once (`takeover`).

        All or none: of two processes that each held some, neither would ever begin.
        """
        while True:
            asked_at = monotonic()
            leases = await self._store.acquire(self._partitions, self.owner, LEASE_TTL_S, self._takeover)
            if {lease.partition for lease in leases} == self._partitions:
                self._until = asked_at + LEASE_TTL_S
                self.held = {lease.partition: Held(lease.epoch, self.owner) for lease in leases}
                return leases
            log.info("ownership.waiting", missing=len(self._partitions) - len(leases))
            if leases:
                await self._store.release([lease.partition for lease in leases], self.owner)
            await anyio.sleep(ACQUIRE_RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries

    async def run(self) -> None:
        """Renew until cancelled; OwnershipLost when another has taken a partition."""
        while True:
            await anyio.sleep(RENEW_EVERY_S)
            asked_at = monotonic()
            try:
                renewed = await self._store.renew(self._partitions, self.owner, LEASE_TTL_S)
            except StoreUnavailable as error:
                log.warning("ownership.renewal_waits", error=str(error))
                self._metrics.lease_renewals_failed.inc()
                continue
            lost = sorted(self._partitions - renewed)
            if lost:
                raise OwnershipLost(
                    f"{len(lost)} partitions (first: {lost[0]}) have another owner; this process must stop"
                )
            self._until = asked_at + LEASE_TTL_S
            self._renewed.set()
            self._renewed = anyio.Event()

    @property
    def current(self) -> bool:
        """Is there time enough left on the lease to start a commit?"""
        return monotonic() < self._until - SAFETY_S

    async def valid(self) -> None:
        """Return when there is."""
        while not self.current:
            await self._renewed.wait()

    async def release(self) -> None:
        """Hand over at once."""
        await self._store.release(self._partitions, self.owner)
