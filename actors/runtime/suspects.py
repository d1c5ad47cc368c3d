"""Commands that may kill their process: who takes over from a dead one finds the killer, and nobody else pays for it.

When a partition is gained whose owner did not let it go, what waited in it at that moment is suspected: any of it may be
what killed that process. Before a suspect is run its attempt is counted in the store. Those that were never counted run
as ever, many in one commit; if one of them kills this process too, all of them are counted once, and from then on each
of them runs in a commit of its own, the least tried first. So the killer alone is tried again and again; past
ATTEMPTS_MAX it is quarantined unheard, and its actor parked. What is settled is no suspect any more, and a partition
whose old commands are all settled is like any other: on the usual path nothing is counted.

A process that died of something else (a kill, a machine) leaves counts too; they go with the next settling, or when the
partition is handed over cleanly.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import anyio
import structlog

from actors.runtime.cursor import Cursors
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus
from actors.runtime.turn import Pending
from eventstore.dead import Suspect
from eventstore.store import EventStore, Lease, StoreUnavailable
from protocol.subjects import Address, partition_of

ATTEMPTS_MAX = 3
REVIEW_EVERY_S = 1.0

log = structlog.get_logger("suspects")


@dataclass(slots=True)
class _Bounds:
    """What waited when the partition was gained: commands and outbox rows up to these."""

    sequence: int
    outbox: int
    generation: int


class Suspects:
    """One per process."""

    def __init__(self, store: EventStore, bus: Bus, cursors: Cursors, metrics: RuntimeMetrics | None = None) -> None:
        self._store, self._bus, self._cursors = store, bus, cursors
        self._metrics = metrics or RuntimeMetrics()
        self._unclean: set[int] = set()  # Gained, and not looked at yet.
        self._bounds: dict[int, _Bounds] = {}
        self._counts: dict[Suspect, int] = {}

    def gained(self, leases: Sequence[Lease]) -> None:
        """These partitions are ours."""
        self._unclean.update(lease.partition for lease in leases if not lease.clean)

    def lost(self, partitions: Collection[int]) -> None:
        """These are not."""
        self._unclean.difference_update(partitions)
        for partition in partitions:
            self._bounds.pop(partition, None)

    async def look(self, partitions: Collection[int]) -> None:
        """Before anything is decided in these partitions: what is suspected in them. StoreUnavailable,
        BusUnavailable."""
        unclean = self._unclean.intersection(partitions)
        counts = await self._store.dead.attempts(partitions)
        if clean := {partition_of_suspect for partition_of_suspect in ()}:
            await self._store.dead.clear_attempts(clean)
