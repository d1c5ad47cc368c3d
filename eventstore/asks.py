"""Asks that are answered later, written as promises. `store.asks`.

- A unit opens an ask (`Unit.asks`) in the commit that accepts its command; a unit answers it (`Unit.answers`), in the
  commit that decides the answer. The first end counts: an ask that was answered, or that expired, takes no other.
- Until it is forgotten, an ended ask can tell how it ended to whoever asks again under its id.
- Whether a deadline has passed is said by the store's clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from protocol.subjects import Address

EXPIRED = b""  # The answer of an ask whose deadline came first: nothing anybody can say has no bytes.


@dataclass(frozen=True, slots=True)
class Ask:
    """An ask of `address`, whose `reply_to` is told. `answer`: None while it is open, EXPIRED, or what was said.
    `trace` is the one that was given to it ("": none was)."""

    id: str
    address: Address
    reply_to: str
    deadline: datetime
    correlation: str
    answer: bytes | None = None
    trace: str = ""


class Asks(Protocol):
    """Every call may raise StoreUnavailable, and may then be made again."""

    async def answered(self, project: str, ids: Collection[str]) -> list[Ask]:
        """Those of `ids` that have an answer, and have not expired."""
        ...

    async def repeat(self, project: str, inboxes: Mapping[str, str]) -> list[Ask]:
        """Somebody asks again: from now on the inbox given for an id is the one that is told. The asks as they stand,
        those that are there."""
        ...

    async def expire(self, partitions: Collection[int], limit: int) -> list[Ask]:
        """End open asks of these partitions whose deadline has passed, the earliest first; those that this call
        ended."""
        ...

    async def next_deadline_s(self, partitions: Collection[int]) -> float | None:
        """Seconds until the earliest deadline of an open ask there (0 or less: it has passed), None without any."""
        ...

    async def forget(self, partitions: Collection[int], past_s: float, limit: int) -> int:
        """Drop ended asks whose deadline passed at least `past_s` ago; how many."""
        ...
