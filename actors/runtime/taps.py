"""What an effect says while it runs, written as promises. NATS keeps them (nats_taps.py); tests may bring another.

A tap is a view, no part of the log: chunks may be lost, and what is kept is kept for minutes.

- Chunks of one attempt are numbered from 0 by their `offset`. A reader gets them in order, each once, or is told
  TapGone: never a silent gap. It resumes after any offset, as long as the chunks behind it are kept.
- Another attempt at the same effect begins again at 0, under a higher `attempt`: what the earlier one said is then no
  more than what it said. An `end` tells how many chunks there were, once the effect has ended.
- To emit never waits, never fails and never grows memory without bound: what cannot be kept is dropped and counted, and
  its offset with it, so that readers notice.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from protocol.codec import encode
from protocol.subjects import Address

CHUNK_BYTES_MAX = 256 * 1024  # A bigger chunk is dropped: big content is a blob.


class TapGone(Exception):
    """The chunk at `offset` of that attempt is not kept (any more). Read again with `after=None` to go on with what
    there is."""

    def __init__(self, key: str, attempt: int, offset: int, found: int) -> None:
        super().__init__(
            f"chunk {offset} of attempt {attempt} at the effect {key} is not kept; the next that is kept is {found}. "
            "Read with after=None to go on there"
        )
        self.key, self.attempt, self.offset, self.found = key, attempt, offset, found


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of what attempt `attempt` at the effect `key` said."""

    key: str
    attempt: int
    offset: int
    body: bytes


class Tap(Protocol):
    """Where one attempt at an effect says what it does."""

    def emit(self, chunk: bytes | msgspec.Struct) -> None:
        """Show this to whoever reads along; a struct as JSON. Never waits, never fails."""
        ...

    def end(self) -> None:
        """The effect has ended: there will be no other attempt."""
        ...


class Taps(Protocol):
    """The taps of one process."""

    def open(self, address: Address, key: str, attempt: int, effect_kind: str, traceparent: str = "") -> Tap:
        """The tap of one attempt at an effect that this actor wanted; the traceparent names that attempt."""
        ...

    async def run(self) -> None:
        """Bring on the way what was emitted, for as long as the process lives."""
        ...


class TapReader(Protocol):
    """Reads along."""

    def read(self, address: Address, key: str = "", after: int | None = -1, attempt: int = 0) -> AsyncIterator[Chunk]:
        """Chunks of the actor's effect `key` with an offset above `after`, kept ones first and then as they come, until
        the effect ends. `attempt` is the one that `after` speaks of (0: whichever is found first). When a later attempt
        begins, its chunks follow, from offset 0. `after=None` begins with whatever is kept. Without a key: of all
        effects of that actor, each as it is found, and without an end.

        TapGone; BusUnavailable when the connection was closed for good. It waits out a server that is away.
        """
        ...


class _Silent:
    def emit(self, chunk: bytes | msgspec.Struct) -> None:
        pass

    def end(self) -> None:
        pass


SILENT: Tap = _Silent()


class NoTaps:
    """Nobody reads along."""

    def open(self, address: Address, key: str, attempt: int, effect_kind: str, traceparent: str = "") -> Tap:
        return SILENT

    async def run(self) -> None:
        pass


def bytes_of(chunk: bytes | msgspec.Struct) -> bytes:
    """A chunk as it travels."""
    return chunk if isinstance(chunk, bytes) else encode(chunk)


class Sequel:
    """Which of the chunks that are found a reader is given: in order, each once, and no silent gap. Pure."""

    def __init__(self, after: int | None, attempt: int) -> None:
        self._after, self._attempt = after, attempt

    def takes(self, key: str, attempt: int, offset: int) -> bool:
        """Whether this chunk is next; False for one that was given already, or of an attempt that is over. An end has
        the offset behind the last chunk. TapGone when chunks are missing before it."""
        if attempt < self._attempt:
            return False
        # When no attempt was asked for, `after` speaks of the first one that is found.
        after = self._after if self._attempt in (0, attempt) else -1
        if after is None:
            after = offset - 1
        if offset <= after:
            return False
        if offset > after + 1:
            raise TapGone(key, attempt, after + 1, offset)
        self._attempt, self._after = attempt, offset
        return True
