"""Where in its trace stands what the runtime does and sends. Pure; ids are worked out (protocol/trace.py).

The spans of a trace, and the parent of each: a command is processed below the send that brought it, or below whatever
its sender named; what an event wants is on its way (a send, a timer, an effect) below the command that caused the
event; an attempt at an effect is made below that effect, and its outcome sent below the attempt.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from actors.runtime.ports import NO_TRACES
from eventstore.store import NewTimer, Unit
from eventstore.traces import RESENT
from protocol.envelope import Envelope
from protocol.subjects import Address
from protocol.trace import About, TraceContext, read_stored, span_id, trace_id


def place(given: str, project: str, correlation: str, about: About, id: str) -> TraceContext:
    """The place of that span, in the trace that was `given` ("": none was)."""
    found = read_stored(given) if given else None
    span = span_id(about, project, id)
    return TraceContext(trace_id(project, correlation), span) if found is None else found.at(span)


def traceparent(given: str, project: str, correlation: str, about: About, id: str) -> str:
    """That of the same place. One is made for every reply and every bell: without a context it takes half the time."""
    if given:
        return place(given, project, correlation, about, id).traceparent
    return f"{_begun(project, correlation)}{span_id(about, project, id)}-01"


@lru_cache(maxsize=4_096)
def _begun(project: str, correlation: str) -> str:
    return f"00-{trace_id(project, correlation)}-"


def given_by(envelope: Envelope) -> str:
    """The trace that came with a command, to be stored ("": none did)."""
    if not envelope.traceparent:
        return ""
    return f"{envelope.traceparent} {envelope.tracestate}" if envelope.tracestate else envelope.traceparent


def parent_span(given: str, project: str, id: str, causation: str, sent: bool) -> str:
    """Below which span a command is processed ("": none, it begins the trace). `sent`: by an actor, a timer or an
    effect, or again for a parked actor."""
    if sent and id.startswith("timer:"):
        key = id.removeprefix("timer:").rpartition(":")[0]
        return "" if causation.startswith(RESENT) else span_id("send", project, timer_id(causation, key))
    if sent and "@" in id:
        return span_id("send", project, id)
    found = read_stored(given) if given else None
    return "" if found is None else found.span_id


def timer_id(causation: str, key: str) -> str:
    """What a timer is called as something on its way: the event that set it, and its key."""
    return f"{causation} {key}"


def attempt_id(key: str, attempt: int) -> str:
    """What an attempt at an effect is called."""
    return f"{key}#{attempt}"


def traces_in(unit: Unit) -> Mapping[str, str]:
    """The traces that were given to its events, by their references."""
    return {traced.key: traced.trace for traced in unit.traces} if unit.traces else NO_TRACES


def bells(units: Iterable[Unit]) -> tuple[dict[Address, str], dict[str, str]]:
    """Whom to ring for the sends in these units, and the kinds of their effects; each with the traceparent of the first
    thing that waits there."""
    receivers: dict[Address, str] = {}
    kinds: dict[str, str] = {}
    for unit in units:
        if not unit.sends and not unit.effects:
            continue
        given, project = traces_in(unit), unit.address.project
        for s in unit.sends:
            if s.to not in receivers:
                receivers[s.to] = traceparent(given.get(s.causation, ""), project, s.correlation, "send", s.id)
        for f in unit.effects:
            if f.effect_kind not in kinds:
                trace = given.get(f.causation, "")
                kinds[f.effect_kind] = traceparent(trace, project, f.correlation, "send", f.key)
    return receivers, kinds


def timer_name(timer: NewTimer) -> str:
    """What that timer is called as something on its way."""
    return timer_id(timer.causation, timer.key)
