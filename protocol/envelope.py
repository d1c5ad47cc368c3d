"""What travels beside a body: CloudEvents 1.0 binary-mode headers and ours. A message without any header is valid.

Source of the `ce-` names: the CloudEvents NATS protocol binding 1.0; of `traceparent`: W3C Trace Context.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from protocol.trace import parse

INBOX_PREFIX = "_INBOX."  # Replies go to inboxes only: a reply header must not be able to address a command subject.
HEADER_LENGTH_MAX = 512
PRIORITIES = ("urgent", "high", "medium", "low")  # The best first.
PRIORITY = "medium"  # Of a message that names none.
_INBOX = re.compile(re.escape(INBOX_PREFIX) + r"[!-)+-=?-~]+")  # One subject: no wildcard, no blank


class BadHeader(ValueError):
    """A header that cannot be used; the message names it. `reply_to` is where to say so ("": nowhere)."""

    def __init__(self, message: str, reply_to: str = "") -> None:
        super().__init__(message)
        self.reply_to = reply_to


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """The headers of one message. "" means absent. Times are ISO 8601 in UTC.

    `outbox` marks a copy of an outbox row: a doorbell, whose truth is the row. `deadline`: a command is not run after
    it, and an ask ends with it. `priority` is one of PRIORITIES. Commands of one `sender` to one actor keep their
    order. A `traceparent` that is none, and a `tracestate` that cannot be passed on, are read as absent (trace.py).
    """

    id: str = ""
    time: str = ""
    source: str = ""
    correlation: str = ""
    causation: str = ""
    reply_to: str = ""
    deadline: str = ""
    priority: str = ""
    sender: str = ""
    traceparent: str = ""
    outbox: str = ""
    tracestate: str = ""


_NAMES = {
    "id": "ce-id",
    "time": "ce-time",
    "source": "ce-source",
    "correlation": "Troupe-Correlation",
    "causation": "Troupe-Causation",
    "reply_to": "Troupe-Reply-To",
    "deadline": "Troupe-Deadline",
    "priority": "Troupe-Priority",
    "sender": "Troupe-Sender",
    "traceparent": "traceparent",
    "outbox": "Troupe-Outbox",
    "tracestate": "tracestate",
}


_FIELDS = {spelt: field for field, name in _NAMES.items() for spelt in (name, name.lower())}
_EMPTY = Envelope()


def to_headers(envelope: Envelope, type_: str = "", subject: str = "") -> dict[str, str]:
    """NATS headers of an envelope; `type_` and `subject` become `ce-type` and `ce-subject`."""
    headers = {"ce-specversion": "1.0"}
    if type_:
        headers["ce-type"] = type_
    if subject:
        headers["ce-subject"] = subject
    # Only those that are not absent, in half the time that a look at each takes.
    named: dict[str, str] = msgspec.to_builtins(envelope)
    for field, value in named.items():
        headers[_NAMES[field]] = value
    return headers


def from_headers(headers: Mapping[str, str] | None) -> Envelope:
    """The envelope in NATS headers, whose names are matched without regard to case; BadHeader for what cannot be
    used."""
    if not headers:
        return _EMPTY
    fields: dict[str, str] = {}
    for name, value in headers.items():
        field = _FIELDS.get(name) or _FIELDS.get(name.lower())
        if field is not None:
            fields[field] = value.strip()
    if "traceparent" in fields or "tracestate" in fields:
        _read_trace(fields)
    try:
        for field, value in fields.items():
            if value:
                _check(field, value)
    except BadHeader as error:
        reply_to = fields.get("reply_to", "")
        raise BadHeader(str(error), reply_to if _INBOX.fullmatch(reply_to) else "") from error
    return Envelope(**fields)


def _read_trace(fields: dict[str, str]) -> None:
    """Leave what can be passed on: a bad trace never makes a message a bad one."""
    found = parse(fields.pop("traceparent", ""), fields.pop("tracestate", ""))
    if found is not None:
        fields["traceparent"] = found.traceparent
        if found.state:
            fields["tracestate"] = found.state


def _check(field: str, value: str) -> None:
    name = _NAMES[field]
    if len(value) > HEADER_LENGTH_MAX:
        raise BadHeader(f"the header {name} has {len(value)} characters, limit {HEADER_LENGTH_MAX}")
    if not value.isprintable():
        raise BadHeader(f"the header {name} is {value!r}; use printable characters only")
    if field == "reply_to" and not _INBOX.fullmatch(value):
        raise BadHeader(f"the header {name} is {value!r}; it must begin with {INBOX_PREFIX} and name one subject")
    if field == "priority" and value not in PRIORITIES:
        raise BadHeader(f"the header {name} is {value!r}; it must be one of {', '.join(PRIORITIES)}")
    if field in ("time", "deadline"):
        parse_time(value, name)


@lru_cache(maxsize=1_024)  # One deadline is read on the way in, in its turn and in its commit.
def parse_time(text: str, what: str = "time") -> datetime:
    """An ISO 8601 time with a zone, in UTC; BadHeader naming `what` otherwise."""
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadHeader(f"{what} {text!r} is not an ISO 8601 time such as 2026-01-31T12:00:00Z") from error
    raise BadHeader(f"{what} {text!r} has no time zone; append Z for UTC")


def format_time(at: datetime) -> str:
    """`at` as ISO 8601 in UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
