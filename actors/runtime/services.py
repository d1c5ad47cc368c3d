"""The runtime's small recurring services: each rests until it is rung or its interval ends, and survives any outage.

- Sweeper: rings again for outbox rows whose doorbell was lost, of the partitions this process owns. In the process that
  owns the first partition it also purges COMMANDS of what is settled, at once when a subject was forgotten.
- Eraser: has the broker overwrite settled commands that may be about somebody; the cursor waits for it.
- Timekeeper: turns due timers into sends to their actors.
"""

from collections.abc import Callable, Collection

import anyio
import structlog

from actors.runtime.bells import bell_of
from actors.runtime.cursor import Cursors
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus, BusUnavailable
from eventstore.store import EventStore, StoreUnavailable
from eventstore.workers import CursorPlace
from protocol.subject import FORGOTTEN_BELL
from protocol.subjects import PARTITIONS

SWEEP_EVERY_S = 2.0
OVERDUE_S = 1.5  # Older than that and still in the outbox: its doorbell was lost, or its actor is busy.
OVERDUE_ACTORS_MAX = 500
TIMERS_MAX = 500
TIMER_REST_S_MAX = 30.0
PURGE_EVERY_MESSAGES = 1_000  # Or, if there are fewer,
PURGE_EVERY_SWEEPS = 15
PURGING_PARTITION = 0
ERASE_AGAIN_S = 1.0

log = structlog.get_logger("services")


class Sweeper:
    """`held` are the partitions that this process owns, as they are at any time."""

    def __init__(
        self,
        store: EventStore,
        bus: Bus,
        cursors: Cursors,
        held: Collection[int],
        metrics: RuntimeMetrics | None = None,
    ) -> None:
        self._store, self._bus = store, bus
        self._cursors, self._held = cursors, held
        self._metrics = metrics or RuntimeMetrics()
        self._purged = 0
        self._rested = 0
        self._urgent = False
        self._before: CursorPlace | None = None  # The lowest cursor at the last look.
        self._stirred = anyio.Event()

    async def run(self) -> None:
        await self._bus.on_effects([FORGOTTEN_BELL], self._hurry)
        while True:
            self._stirred = anyio.Event()
            try:
                overdue = await self._store.overdue_sends(list(self._held), OVERDUE_S, OVERDUE_ACTORS_MAX)
                self._metrics.outbox_overdue.set(len(overdue))
                if overdue:
                    await self._bus.ring(overdue)
                if PURGING_PARTITION in self._held:
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
        """Commands below the lowest cursor of all are settled for good; the message at it stays as the witness."""
        lowest = await self._store.workers.lowest()
        if lowest is None:
            return
        self._rested += 1
        if lowest == self._before and lowest.cursor < self._cursors.seen:
            # Nothing came for its owner for a while: a doorbell moves its cursor.
            await self._bus.ring([bell_of(lowest.partition)])
        self._before = lowest
        if lowest.cursor < self._purged:  # The stream was made anew.
            self._purged = 0
        few = self._rested < PURGE_EVERY_SWEEPS and lowest.cursor - self._purged < PURGE_EVERY_MESSAGES
        if lowest.cursor <= self._purged or (few and not self._urgent):
            return
        # The witness: of a stream made anew, what is below the old one's cursor may not be settled at all.
        if await self._bus.witness_at(lowest.cursor) == lowest.witness:
            await self._bus.purge_below(lowest.cursor)
            self._purged, self._rested, self._urgent = lowest.cursor, 0, False


class Eraser:
    """One per process. `erased` is called whenever there is less to erase."""

    def __init__(self, bus: Bus, cursors: Cursors, erased: Callable[[], None] = lambda: None) -> None:
        self._bus, self._cursors, self._erased = bus, cursors, erased

    async def run(self) -> None:
        while True:
            generation, sequences = await self._cursors.erasable()
            try:
                await self._bus.erase(sequences)
                self._cursors.erased(generation, sequences)
                self._erased()
            except BusUnavailable as error:
                log.warning("eraser.waits", error=str(error))
                await anyio.sleep(ERASE_AGAIN_S)


class Timekeeper:
    def __init__(self, store: EventStore, bus: Bus, held: Collection[int] = range(PARTITIONS)) -> None:
        self._store, self._bus, self._held = store, bus, held
        self._changed = anyio.Event()

    def changed(self) -> None:
        """A commit set timers, or partitions were gained: look again."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed = anyio.Event()
            rest_s = TIMER_REST_S_MAX
            try:
                fired = await self._store.fire_timers(TIMERS_MAX, list(self._held))
                if fired:
                    await self._bus.ring(fired)
                due_s = await self._store.next_timer_s(list(self._held))
                if due_s is not None:
                    rest_s = min(max(due_s, 0.0), TIMER_REST_S_MAX)
            except StoreUnavailable as error:
                log.warning("timekeeper.waits", error=str(error))
                rest_s = SWEEP_EVERY_S
            with anyio.move_on_after(rest_s):
                await self._changed.wait()
