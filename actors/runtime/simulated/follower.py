"""A reader of the log, as a projection is one: it folds what it reads, page by page, and loses its place at times.

In the end what it has folded must be what a fold of the whole log comes to.
"""

import hashlib
from collections.abc import Iterable
from random import Random

import anyio

from eventstore.store import Log, Recorded

PAGE_EVENTS_MAX = 7  # Small, so that pages end in the middle of commits.
REST_S_MAX = 0.5
CRASH_SHARE = 0.05  # Of pages after which the reader begins again where it last wrote down its place.


class Fold:
    """A fingerprint of events in order, and how many there were of each stream."""

    def __init__(self) -> None:
        self.position = 0
        self.digest = b""
        self.streams: dict[str, int] = {}

    def copy(self) -> "Fold":
        """The same, to go on from."""
        fold = Fold()
        fold.position, fold.digest, fold.streams = self.position, self.digest, dict(self.streams)
        return fold

    def take(self, events: Iterable[Recorded]) -> None:
        """Fold some more."""
        for event in events:
            said = f"{event.position} {event.address} {event.version} {event.type} {event.causation} ".encode()
            self.digest = hashlib.sha256(self.digest + said + event.body).digest()
            self.position = event.position
            self.streams[str(event.address)] = self.streams.get(str(event.address), 0) + 1


class Follower:
    """Reads while the world runs."""

    def __init__(self, log: Log, chance: Random) -> None:
        self._log, self._chance = log, chance
        self.fold = Fold()
        self._kept = Fold()

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            await self._log.wait_beyond(self.fold.position, REST_S_MAX)
            await self._page()
            if self._chance.random() < CRASH_SHARE:
                self.fold = self._kept.copy()
            elif self._chance.random() < 0.5:
                self._kept = self.fold.copy()
            await anyio.sleep(self._chance.uniform(0.0, REST_S_MAX))

    async def finish(self) -> None:
        """Read what is left."""
        while await self._page():
            pass

    async def _page(self) -> int:
        page = await self._log.read(self.fold.position, self._chance.randint(1, PAGE_EVENTS_MAX))
        self.fold.take(page)
        return len(page)
