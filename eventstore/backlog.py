"""What waits in the store, written as promises. Two adapters keep them; reached as `store.backlog`.

For whoever watches an installation. Every call is one short statement without a lock, of bounded work: more than
COUNTED_MAX rows are not counted, and then stand as that number. Figures of one call are of one moment; ages are by the
store's clock, and never below 0.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

COUNTED_MAX = 20_000

# To be claimed; not due yet; claimed; a human is asked; decided, and to be ended without being performed.
EffectStanding = Literal["waiting", "delayed", "running", "unknown", "ending"]


@dataclass(frozen=True, slots=True)
class Waits:
    """`sends` are rows of the outbox, `sends_oldest_s` the age of the oldest one whose actor is not parked (0: there is
    none). `asks` are open; `asks_overdue_s`: for how long the first deadline among them has passed. `partitions_free`
    have no owner, or one whose lease is over; up to `cursor_lowest` every partition is settled."""

    sends: int = 0
    sends_oldest_s: float = 0.0
    asks: int = 0
    asks_overdue_s: float = 0.0
    parked_commands: int = 0
    workers: int = 0
    partitions: int = 0
    partitions_free: int = 0
    cursor_lowest: int = 0


@dataclass(frozen=True, slots=True)
class EffectsOpen:
    """Effects of one kind that stand alike. `oldest_s`: the age of the oldest, from when it could first be taken, and
    for those a human is asked about from when it was wanted."""

    effect_kind: str
    standing: EffectStanding
    count: int
    oldest_s: float


class Backlog(Protocol):
    """What waits. Every call may raise StoreUnavailable."""

    async def waits(self) -> Waits:
        """Sends, asks, commands of parked actors, and who owns the partitions."""
        ...

    async def effects(self) -> list[EffectsOpen]:
        """Effects that have not ended, the oldest COUNTED_MAX, by kind and standing, in that order; orders are none."""
        ...
