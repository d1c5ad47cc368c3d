"""Which trace a message belongs to, and which span it is about: W3C Trace Context, with ids that anybody can work out.

- Unless somebody gave one, the trace of everything in a correlation is derived from it, and a span's id from what the
  span is about. So every process, also after a crash, and every later reader of the log comes to the same ids without
  anything having been stored.
- A trace that came with a command is continued. What follows keeps its trace id, its sampled flag and its tracestate.
- What is not as the specification has it is ignored, as it wants: it never makes a message a bad one.

Source of the formats: W3C Trace Context (Recommendation, level 1), sections 3.2 and 3.3.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Literal

import msgspec

STATE_LENGTH_MAX = 512  # Characters of a tracestate: what the specification asks everybody to pass on at least.
STATE_MEMBERS_MAX = 32
SAMPLED = 1  # The one flag that level 1 defines; others are not passed on.

# A version above 00 may have more behind the flags, after a dash. "ff" is no version.
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})="
                     r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")  # fmt: skip

About = Literal["process", "send", "effect", "completion", "tool", "quarantined", "parked"]
"""What a span is about: a command that is processed, or found wanting by its actor (quarantined, parked), something on
its way (a send, a timer, an effect), one attempt at an effect, and what that does."""


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """A place in a trace. `trace_id`: 32 and `span_id`: 16 hexadecimal digits. `state` is the tracestate ("": none)."""

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str = ""

    @property
    def traceparent(self) -> str:
        """As a header has it."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def headers(self) -> dict[str, str]:
        """What whoever is asked next is sent."""
        state = {"tracestate": self.state} if self.state else {}
        return {"traceparent": self.traceparent, **state}

    @property
    def stored(self) -> str:
        """As one text; `read_stored` reads it."""
        return f"{self.traceparent} {self.state}" if self.state else self.traceparent

    def at(self, span_id: str) -> "TraceContext":
        """Another place in the same trace."""
        return TraceContext(self.trace_id, span_id, self.sampled, self.state)


def parse(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """The context in these headers; None for a traceparent that is to be ignored. A tracestate that cannot be passed on
    is left out."""
    found = _PARENT.fullmatch(traceparent.strip(" \t"))
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    return TraceContext(found[2], found[3], bool(int(found[4], 16) & SAMPLED), _passed_on(tracestate))


def read_stored(text: str) -> TraceContext | None:
    """The context that was stored so; None for "" and for what is none."""
    traceparent, _, state = text.partition(" ")
    return parse(traceparent, state) if traceparent else None


def _passed_on(tracestate: str) -> str:
    """The members of a tracestate; "" when it is too long or not all of them are as they should be."""
    members = [member for part in tracestate.split(",") if (member := part.strip(" \t"))]
    joined = ",".join(members)
    keys = {member.partition("=")[0] for member in members}
    if len(joined) > STATE_LENGTH_MAX or len(members) > STATE_MEMBERS_MAX or len(keys) < len(members):
        return ""
    return joined if all(map(_MEMBER.fullmatch, members)) else ""


@lru_cache(maxsize=4_096)  # A correlation has many messages, most of them close together.
def trace_id(project: str, correlation: str) -> str:
    """The trace of everything in that correlation to which nobody gave another."""
    return sha256(f"troupe-trace\0{project}\0{correlation}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def span_id(about: About, project: str, id: str) -> str:
    """The span that is about this. `id`: a command's (process), a send's, an effect's key, ..."""
    return sha256(f"troupe-span\0{about}\0{project}\0{id}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
