"""The mirror's stream, written as promises (nats_mirror.py keeps them), and what an event is as a message in it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from actors.runtime.traces import place
from eventstore.store import Recorded
from eventstore.traces import RESENT, key_of
from protocol.envelope import Envelope, format_time, to_headers
from protocol.subjects import event_subject

IN_FLIGHT_MAX = 500  # Messages that are not acknowledged yet.

# By what two messages are told to be of the same event: source, id, and a digest of the bytes.
Likeness = tuple[str, str, bytes]


class Misplaced(Exception):
    """The stream does not end where it was thought to: look where it does."""


@dataclass(frozen=True, slots=True)
class Trimming:
    """How much of the log the mirror keeps: nothing older, and not more."""

    age_s: float
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Mirrored:
    """An event as a message. `sequence` is its position."""

    sequence: int
    subject: str
    headers: dict[str, str]
    body: bytes

    @property
    def likeness(self) -> "Likeness":
        return likeness(self.headers, self.body)


@dataclass(frozen=True, slots=True)
class Extent:
    """The sequences that a stream holds; `first` is beyond `last` when it holds no message now."""

    first: int
    last: int


class EventsStream(Protocol):
    """The mirror's stream on a bus. Every method raises BusUnavailable when the bus cannot be asked."""

    async def extent(self) -> Extent | None:
        """Where it begins and ends; None when there is no such stream."""
        ...

    async def likeness_at(self, sequence: int) -> Likeness:
        """Of the message there; one that no event has when there is none."""
        ...

    async def begin(self, first: int) -> None:
        """Make it anew, without any message; the next one gets the sequence `first`."""
        ...

    async def put(self, messages: Sequence[Mirrored]) -> None:
        """Store these, each directly behind the one before it. Misplaced when that cannot be: some may be stored then,
        each at its place."""
        ...


def trace_key(event: Recorded) -> tuple[str, str]:
    """Under what the store knows the trace that was given to an event (`store.traces`)."""
    # What the runtime says of a command it says in a stream of its own.
    key = key_of(event.causation, RESENT) if event.address.kind == "runtime" else event.reference
    return event.address.project, key


def mirrored(event: Recorded, root: str, given: str = "") -> Mirrored:
    """The message that an event is in the mirror. `given`: the trace that was given to it ("": none was)."""
    cause = place(given, event.address.project, event.correlation, "process", event.causation)
    envelope = Envelope(
        id=_printable(event.reference),
        time=format_time(event.at),
        source=_printable(str(event.address)),
        correlation=_printable(event.correlation),
        causation=_printable(event.causation),
        traceparent=cause.traceparent,
        tracestate=cause.state,
    )
    headers = to_headers(envelope, _printable(event.type))
    return Mirrored(event.position, event_subject(event.address, event.type, root), headers, event.body)


def likeness(headers: dict[str, str], body: bytes) -> Likeness:
    return headers.get("ce-source", ""), headers.get("ce-id", ""), hashlib.sha256(body).digest()


def _printable(text: str) -> str:
    """`text` as a header can hold it: the CloudEvents binding's percent-encoding for what is no printable ASCII."""
    return (
        text
        if text.isascii() and text.isprintable() and text == text.strip()
        else quote(text, safe="/@:.", errors="replace")
    )
