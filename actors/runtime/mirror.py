"""The mirror: a copy of the log on the bus for whoever wants to follow it there. Nothing of ours depends on it.

What readers of the stream are promised:

- The sequence of a message is the position of its event, so none is missing between two, none is there twice, and
  whoever knows a position can go on there. Each is published only behind the one before it (the bus checks that), so
  also two publishers at a time could make neither a gap nor a repetition.
- A message is the event as it is stored: its bytes, with what is sealed in it still sealed. When a subject is forgotten
  its key is destroyed, and what the mirror holds of it can be read by nobody any more.
- The oldest are trimmed by age and size. A stream that was lost, or whose last messages are not the log's events at
  their positions, is made anew from the log, beginning with the oldest event that would not have been trimmed; its
  readers have to open their consumers again. So it begins too for a log that was imported or forked.

One process publishes, the one with the lease; the others stand by and take over when it ends. A killed publisher
leaves a stream that ends somewhere: the next one looks where, and goes on.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from random import Random

import anyio
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from actors.runtime.chance import any_chance, spread
from actors.runtime.leading import Leader
from actors.runtime.mirrored import IN_FLIGHT_MAX, EventsStream, Extent, Misplaced, Trimming, mirrored, trace_key
from actors.runtime.ports import BusUnavailable, Clock
from eventstore.store import EventStore, Recorded, StoreError

LEASE = "mirror"
PAGE_EVENTS = 200  # An event has up to half a MiB.
LOOK_EVERY_S = 30.0  # How often an idle mirror looks whether its stream is still there.
RETRY_FIRST_S = 0.1
RETRY_S_MAX = 5.0
MESSAGE_OVERHEAD_BYTES = 600  # Headers, subject and the broker's own record of a message, about.

logger = structlog.get_logger("mirror")


class MirrorMetrics:
    """What the mirror counts, on `registry` (one of its own by default)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.lag = Gauge(
            "troupe_mirror_lag_events",
            "Events of the log that are not in the mirror yet, where this process publishes it.",
            registry=self.registry,
        )
        self.leading = Gauge(
            "troupe_mirror_leading", "Whether this process publishes the mirror.", registry=self.registry
        )
        self.published = Counter(
            "troupe_mirror_events", "Events published to the mirror by this process.", registry=self.registry
        )
        self.rebuilds = Counter(
            "troupe_mirror_rebuilds", "How often the mirror was made (anew) from the log.", registry=self.registry
        )


class Mirror:
    """Publishes the log while it has the lease. `opened` connects to the stream."""

    def __init__(
        self,
        store: EventStore,
        opened: Callable[[], AbstractAsyncContextManager[EventsStream]],
        root: str,
        trimming: Trimming,
        clock: Clock,
        metrics: MirrorMetrics | None = None,
        chance: Random | None = None,
    ) -> None:
        self._store, self._opened, self._root = store, opened, root
        self._trimming, self._clock = trimming, clock
        self._metrics = metrics or MirrorMetrics()
        self._chance = chance or any_chance()
        self._position = 0  # Up to where the stream is known to have the log,
        self._looked_at = 0.0  # and when that was looked at.

    async def run(self) -> None:
        """Until cancelled. Outages are waited out; whatever else goes wrong is logged, and tried again."""
        await Leader(self._store.leases, LEASE, self._lead, self._chance).run()

    async def _lead(self) -> None:
        self._metrics.leading.set(1)
        try:
            await self._serve()
        finally:
            self._metrics.leading.set(0)
            self._metrics.lag.set(0)

    async def _serve(self) -> None:
        delay_s = RETRY_FIRST_S
        while True:
            started = anyio.current_time()
            try:
                async with self._opened() as stream:
                    await self._follow(stream)
            except (BusUnavailable, StoreError) as error:
                logger.warning("mirror.waits", error=str(error))
            except Exception:  # the log goes on without its mirror, and so does the company
                logger.exception("mirror.broke")
            await self._note_lag()
            delay_s = RETRY_FIRST_S if anyio.current_time() - started > RETRY_S_MAX else delay_s
            await anyio.sleep(spread(self._chance, delay_s))
            delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _follow(self, stream: EventsStream) -> None:
        """Publish what the stream lacks, and then what comes."""
        await self._align(stream)
        while True:
            page = await self._store.read(self._position, PAGE_EVENTS)
            if page:
                await self._put(stream, page)
            elif anyio.current_time() - self._looked_at >= LOOK_EVERY_S:
                await self._align(stream)
            else:
                self._metrics.lag.set(0)
                await self._store.wait_beyond(self._position, LOOK_EVERY_S)

    async def _put(self, stream: EventsStream, page: Sequence[Recorded]) -> None:
        given = await self._store.traces.given([trace_key(event) for event in page])
        try:
            await stream.put([mirrored(event, self._root, given.get(trace_key(event), "")) for event in page])
        except Misplaced as error:
            logger.warning("mirror.misplaced", after=self._position, error=str(error))
            await self._align(stream)
            return
        self._position = page[-1].position
        self._metrics.published.inc(len(page))
        if len(page) == PAGE_EVENTS:
            await self._note_lag()

    async def _note_lag(self) -> None:
        try:
            self._metrics.lag.set(max(0, await self._store.head() - self._position))
        except StoreError as error:
            logger.warning("mirror.lag_unknown", error=str(error))

    async def _align(self, stream: EventsStream) -> None:
        self._position = await self._aligned(stream)
        self._looked_at = anyio.current_time()

    async def _aligned(self, stream: EventsStream) -> int:
        """The position up to which the stream has the log, made anew if it has another's or nothing worth keeping."""
        extent, head = await stream.extent(), await self._store.head()
        why = "there is no stream"
        if extent is not None:
            why = await self._contradicts(stream, extent, head)
            if not why and await self._first_kept(head, extent.last) > extent.last + 1:
                why = f"all up to its last message ({extent.last}) would be trimmed"
            if not why:
                return extent.last
        first = await self._first_kept(head, 0)
        say = logger.info if extent is None else logger.warning
        say("mirror.made_anew", reason=why, first=first, head=head)
        await stream.begin(first)
        self._metrics.rebuilds.inc()
        return first - 1

    async def _contradicts(self, stream: EventsStream, extent: Extent, head: int) -> str:
        """Why the stream is none of this log ("": it may be). Of what was in flight when something foreign was put
        there, the messages behind that one are stored: so its last ones are compared, and not the last one alone."""
        if extent.last > head:
            return f"it goes to {extent.last}, the log to {head}"
        after = max(extent.first - 1, extent.last - IN_FLIGHT_MAX)
        while page := await self._store.read(after, PAGE_EVENTS, extent.last):
            for event in page:
                if await stream.likeness_at(event.position) == mirrored(event, self._root).likeness:
                    continue
                now = await stream.extent()
                if now is None or now.first <= event.position:  # Else it was trimmed a moment ago.
                    return f"its message {event.position} is not the log's event"
            after = page[-1].position
        return ""

    async def _first_kept(self, head: int, after: int) -> int:
        """The oldest position above `after` that would not be trimmed (head + 1: none)."""
        oldest = await self._store.position_before(self._clock() - timedelta(seconds=self._trimming.age_s)) + 1
        first, room, position = max(oldest, after + 1), self._trimming.bytes_max, head
        while position >= first:
            page = await self._store.read(first - 1, PAGE_EVENTS, position, backward=True)
            for event in page:
                room -= len(event.body) + MESSAGE_OVERHEAD_BYTES
                if room < 0:
                    return event.position + 1
            position = page[-1].position - 1
        return first
