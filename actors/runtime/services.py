"""The runtime's small recurring services: each rests until it is rung or its interval ends, and survives any outage.

- Sweeper: rings again for outbox rows whose doorbell was lost, and purges COMMANDS of what is settled, at once when a
  subject was forgotten.
- Timekeeper: turns due timers into sends to their actors.
"""

import anyio
import structlog

from actors.runtime.cursor import Cursors
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus, BusUnavailable
from eventstore.store import EventStore, StoreUnavailable
from protocol.subject import FORGOTTEN_BELL
from protocol.subjects import Address

SWEEP_EVERY_S = 2.0
OVERDUE_S = 1.5  # Older than that and still in the outbox: its doorbell was lost, or its actor is busy.
OVERDUE_ACTORS_MAX = 500
TIMERS_MAX = 500
TIMER_REST_S_MAX = 30.0
PURGE_EVERY_MESSAGES = 1_000  # Or, if there are fewer,
PURGE_EVERY_SWEEPS = 15
_NOBODY = Address("troupe", "runtime", "sweeper")  # No actor: its doorbell finds no mail.

log = structlog.get_logger("services")


class Sweeper:
    def __init__(
        self,
        store: EventStore,
        bus: Bus,
        cursors: Cursors,
        partitions: list[int],
        metrics: RuntimeMetrics | None = None,
    ) -> None:
        self._store, self._bus = store, bus
        self._cursors, self._partitions = cursors, partitions
        self._metrics = metrics or RuntimeMetrics()
        self._purged = 0
        self._rested = 0
        self._urgent = False
        self._stirred = anyio.Event()

    async def run(self) -> None:
        await self._bus.on_effects([FORGOTTEN_BELL], self._hurry)
        while True:
            self._stirred = anyio.Event()
            try:
                overdue = await self._store.overdue_sends(self._partitions, OVERDUE_S, OVERDUE_ACTORS_MAX)
                self._metrics.outbox_overdue.set(len(overdue))
                if overdue:
                    await self._bus.ring(overdue)
                await self._purge()
            except (StoreUnavailable, BusUnavailable) as error:
                log.warning("sweeper.waits", error=str(error))
            with anyio.move_on_after(SWEEP_EVERY_S):
                await self._stirred.wait()

    def _hurry(self) -> None:
        """A subject was forgotten: what the stream still holds of it is not to wait for the next purge."""
        self._urgent = True
        self._stirred.set()

    async def _purge(self) -> None:
        """Commands below the lowest cursor are settled for good; the message at it stays as the witness. So that this
        is no command either, which may be about somebody, a doorbell is put behind the last one."""
        self._rested += 1
        lowest, witness = self._cursors.lowest()
        if lowest < self._purged:  # The stream was made anew.
            self._purged = 0
        few = self._rested < PURGE_EVERY_SWEEPS and lowest - self._purged < PURGE_EVERY_MESSAGES
        if few and not self._urgent:
            return
        content_left = lowest <= self._cursors.content
        if content_left:
            await self._bus.ring([_NOBODY])
        # The witness: of a stream made anew, what is below the old one's cursor may not be settled at all.
        if lowest > self._purged and await self._bus.witness_at(lowest) == witness:
            about_people = [sequence for sequence in self._cursors.personal if sequence < lowest]
            await self._bus.purge_below(lowest, about_people, min(self._cursors.unknown_below, lowest))
            self._cursors.purged(lowest)
            self._purged, self._rested = lowest, 0
        self._urgent = content_left


class Timekeeper:
    def __init__(self, store: EventStore, bus: Bus) -> None:
        self._store, self._bus = store, bus
        self._changed = anyio.Event()

    def changed(self) -> None:
        """A commit set timers: look again."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed = anyio.Event()
            rest_s = TIMER_REST_S_MAX
            try:
                fired = await self._store.fire_timers(TIMERS_MAX)
                if fired:
                    await self._bus.ring(fired)
                due_s = await self._store.next_timer_s()
                if due_s is not None:
                    rest_s = min(max(due_s, 0.0), TIMER_REST_S_MAX)
            except StoreUnavailable as error:
                log.warning("timekeeper.waits", error=str(error))
                rest_s = SWEEP_EVERY_S
            with anyio.move_on_after(rest_s):
                await self._changed.wait()
