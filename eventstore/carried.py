"""What few units carry besides events: asks that are answered later, their answers, and actors that are parked.

All of it becomes true with the unit, in its commit, or not at all.
"""

from dataclasses import dataclass
from datetime import datetime

from protocol.subjects import Address


@dataclass(frozen=True, slots=True)
class NewAsk:
    """An ask that this unit's actor answers later. `id` is that of its command; who asked is told at `reply_to`."""

    id: str
    reply_to: str
    deadline: datetime
    correlation: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an open ask of the unit's project comes to; to one that is not open it does nothing."""

    ask: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Parking:
    """An actor of the unit's partition that is left alone from now on."""

    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command that is kept, in order, for a parked actor of the unit's partition."""

    address: Address
    id: str
    type: str
    body: bytes
    headers: bytes
    at: datetime
    correlation: str
    deadline: datetime | None = None
    reply_to: str = ""
