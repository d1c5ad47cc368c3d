"""What waits in the installation, for Prometheus: asked at each scrape, so nothing runs between two of them.

These gauges are of the whole log, whichever process shows them: take their maximum over the processes, not their sum.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import get_args

import anyio
import structlog
from prometheus_client import CollectorRegistry, Gauge

from actors.runtime.ports import Bus, BusUnavailable
from eventstore.backlog import Backlog, EffectStanding, Waits
from eventstore.store import StoreError

READ_S_MAX = 2.0
UNKNOWN = "unknown"  # The label of effects that no performer of this process is of.

log = structlog.get_logger("monitoring")


class BacklogMetrics:
    """Gauges on `registry`. `effects` are the kinds of effects that there are."""

    def __init__(self, registry: CollectorRegistry, backlog: Backlog, bus: Bus, effects: Collection[str]) -> None:
        self._registry, self._backlog, self._bus, self._effects = registry, backlog, bus, frozenset(effects)
        self._sends = self._gauge("outbox_sends", "Sends that their actors have not accepted.")
        self._sends_age = self._gauge("outbox_oldest_seconds", "Age of the oldest of them whose actor is not parked.")
        self._asks = self._gauge("asks_open", "Asks that have no answer yet.")
        self._asks_late = self._gauge("asks_overdue_seconds", "For how long the first deadline of them has passed.")
        self._commands_parked = self._gauge("commands_parked", "Commands kept for actors that are parked.")
        self._workers = self._gauge("workers_alive", "Processes that have said lately that they are there.")
        self._free = self._gauge("partitions_free", "Partitions that no process holds a lease of.")
        self._lag = self._gauge(
            "partition_lag_messages", "From the lowest cursor of all partitions to the end of the stream of commands."
        )
        labels = ("effect", "state")
        self._open = self._gauge("effects_open", "Effects that have not ended, by how they stand.", *labels)
        self._oldest = self._gauge("effects_oldest_seconds", "Age of the oldest of them.", *labels)
        self._read = self._gauge("backlog_readable", "1 if what waits is of this scrape, 0 if it is older.")

    async def refresh(self) -> None:
        """Read them anew. What cannot be read within READ_S_MAX keeps its last value, and says so."""
        self._read.set(0)
        with anyio.move_on_after(READ_S_MAX):
            try:
                waits = await self._backlog.waits()
                await self._show_effects()
                self._show(waits)
                if waits.partitions:
                    self._lag.set(max(0, await self._bus.last_sequence() - waits.cursor_lowest))
            except (StoreError, BusUnavailable) as error:
                log.warning("monitoring.backlog_unread", error=str(error))
                return
            self._read.set(1)

    def _show(self, waits: Waits) -> None:
        self._sends.set(waits.sends)
        self._sends_age.set(waits.sends_oldest_s)
        self._asks.set(waits.asks)
        self._asks_late.set(waits.asks_overdue_s)
        self._commands_parked.set(waits.parked_commands)
        self._workers.set(waits.workers)
        self._free.set(waits.partitions_free)

    async def _show_effects(self) -> None:
        counts = defaultdict[tuple[str, EffectStanding], int](int)
        ages = defaultdict[tuple[str, EffectStanding], float](float)
        for row in await self._backlog.effects():
            key = (row.effect_kind if row.effect_kind in self._effects else UNKNOWN, row.standing)
            counts[key] += row.count
            ages[key] = max(ages[key], row.oldest_s)
        # All of them, always: an alert on what appears only with its first value would miss that one.
        for effect in (*self._effects, UNKNOWN):
            for standing in get_args(EffectStanding):
                self._open.labels(effect, standing).set(counts[effect, standing])
                self._oldest.labels(effect, standing).set(ages[effect, standing])

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"troupe_{name}", words, labels, registry=self._registry)
