"""Reads the log for many views at once: those that stand at the same position share the page, its decoding, and the
wait for what comes next."""

from collections import OrderedDict
from collections.abc import Sequence

import anyio

from eventstore.store import Log, Recorded
from projections.errors import ProjectionError
from projections.page import Page

PAGES_KEPT = 4


class Pages:
    """Pages of at most `events` events."""

    def __init__(self, log: Log, events: int) -> None:
        self._log = log
        self._events = events
        self._kept: OrderedDict[int, Page] = OrderedDict()  # By the position they come after; they stay true for ever.
        self._reading = anyio.Lock()
        self._furthest = 0  # What anybody has asked to go beyond.
        self._asking: anyio.Event | None = None

    async def after(self, position: int, upto: int | None = None) -> Page | None:
        """What follows that position (up to another), None: nothing. StoreUnavailable; ProjectionError at a gap."""
        async with self._reading:  # Who comes second finds the page of who came first.
            page = self._kept.get(position)
            if page is None or (upto is not None and page.last > upto):
                events = await self._log.read(position, self._events, upto)
                # Also from a log that says something twice.
                while events and events[0].position <= position:
                    del events[0]
                if not events:
                    return None
                _check_dense(position, events)
                page = self._kept[position] = Page(events, events[-1].position)
                while len(self._kept) > PAGES_KEPT:
                    self._kept.popitem(last=False)
            return page

    async def beyond(self, position: int, timeout_s: float) -> None:
        """Wait until something may follow that position, `timeout_s` at most. One asks for all who wait; where that one
        fails (StoreUnavailable) the others find out by themselves."""
        if position < self._furthest:
            return  # Somebody has seen more.
        self._furthest = position
        if self._asking is not None:
            await self._asking.wait()
            return
        answered = self._asking = anyio.Event()
        try:
            await self._log.wait_beyond(position, timeout_s)
        finally:
            self._asking = None
            answered.set()


def _check_dense(position: int, events: Sequence[Recorded]) -> None:
    for recorded in events:
        position += 1
        if recorded.position != position:
            raise ProjectionError(
                f"position {position} is missing from the log: restore it from a backup, and verify it with "
                "`troupe audit verify` before going on"
            )
