"""The reading side of the port: what projections, audits and the command line use. Its promises are store.py's."""

from datetime import datetime
from typing import Protocol

from eventstore.blobs import Blobs
from eventstore.records import PAGE_EVENTS_MAX, Recorded, StreamInfo
from eventstore.selection import Selection
from protocol.subjects import Address


class Log(Protocol):
    """The reading side: what projections, audits and the command line use."""

    async def head(self) -> int:
        """The position of the last event (0: empty)."""
        ...

    async def read(
        self,
        after: int,
        limit: int = PAGE_EVENTS_MAX,
        upto: int | None = None,
        selection: Selection | None = None,
        backward: bool = False,
    ) -> list[Recorded]:
        """Events with `after < position <= upto` in order, the highest first if `backward`, at most `limit`. Looks at
        every position in between: reading.py goes through a long log in steps."""
        ...

    async def read_stream(
        self,
        address: Address,
        after: int = 0,
        limit: int = PAGE_EVENTS_MAX,
        upto: int | None = None,
        backward: bool = False,
    ) -> list[Recorded]:
        """Events of one stream with `after < version <= upto` in order, the highest first if `backward`, at most
        `limit`; none of a stream that is not there."""
        ...

    async def stream(self, address: Address) -> StreamInfo:
        """A stream as it stands now. UnknownStream if nobody has written to it."""
        ...

    async def streams(
        self, after: int = 0, limit: int = PAGE_EVENTS_MAX, project: str | None = None, kind: str | None = None
    ) -> list[StreamInfo]:
        """Streams with `number > after` in the order of their numbers, at most `limit`."""
        ...

    async def position_before(self, at: datetime) -> int:
        """The last position that the log took before that time (0: none)."""
        ...

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait until the head may be beyond `position`; False after `timeout_s`. A wake-up is a hint, never a truth,
        and a lost one only delays: ask again."""
        ...

    @property
    def blobs(self) -> Blobs:
        """Big content by its hash: see blobs.py."""
        ...
