"""What was done, told as spans to whoever exports them. Promises of every `Tracer`:

- To record a span never waits, never fails and never grows memory without bound. One that is lost is counted.
- Nothing rests on it: spans name what the log has anyway, under ids that can be worked out (protocol/trace.py).

Spans and their attributes have the names of OpenTelemetry's semantic conventions: messaging for commands, sends and
effects, generative AI for what effects do. No attribute holds what was said or asked, only what it was about.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

import structlog

from actors.runtime.traces import attempt_id, parent_span, place, timer_name, traces_in
from actors.runtime.turn import Pending
from actors.runtime.work import Work
from eventstore.store import ClaimedEffect
from protocol.subjects import Address, command_subject, effect_subject, partition_of
from protocol.trace import TraceContext, span_id

SYSTEM = "nats"
# Name and type of what is done with a message.
SEND, PROCESS = ("send", "send"), ("process", "process")
SCHEDULE = ("schedule", "create")  # A timer: it is sent when it is due.

log = structlog.get_logger("tracing")

SpanKind = Literal["internal", "client", "producer", "consumer"]
Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was done. `parent` is a span's id in the same trace ("": this one begins it). `error` names a kind
    of failure ("": it did not fail), never what was said about it."""

    name: str
    kind: SpanKind
    context: TraceContext
    parent: str
    begun_at: datetime
    ended_at: datetime
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    error: str = ""


class Tracer(Protocol):
    """Where spans go."""

    @property
    def enabled(self) -> bool:
        """Is it worth making spans at all?"""
        ...

    def record(self, span: Span) -> None:
        """Export it some time."""
        ...


class NoTracer:
    """Nobody exports anything."""

    enabled = False

    def record(self, span: Span) -> None:
        pass


NO_TRACER: Tracer = NoTracer()


def spans_of_work(work: Work, root: str, ended_at: datetime) -> Iterator[Span]:
    """The commands of a unit that stands in the store, and what its events have sent on its way."""
    unit = work.unit
    begun_at = ended_at if work.turn is None else work.turn.now
    for row, pending in zip(unit.settled, work.commands, strict=True):
        yield _processed(pending, row.outcome, root, begun_at, ended_at)
    processed = {pending.id: pending.place.span_id for pending in work.commands}
    causes = {unit.address.reference((unit.expected or 0) + n): e.causation for n, e in enumerate(unit.events, start=1)}
    given, project = traces_in(unit), unit.address.project

    def sent(id: str, cause: str, correlation: str, operation: tuple[str, str], to: str, template: str) -> Span:
        there = place(given.get(cause, ""), project, correlation, "send", id)
        name, type_ = operation
        about = _message(id, name, type_, to, template, correlation)
        parent = processed.get(causes.get(cause, ""), "")
        return Span(f"{name} {template}", "producer", there, parent, ended_at, ended_at, about)

    for s in unit.sends:
        yield sent(s.id, s.causation, s.correlation, SEND, command_subject(s.to, root), template_of(s.to, root))
    own = command_subject(unit.address, root), template_of(unit.address, root)
    for t in unit.timers:
        yield sent(timer_name(t), t.causation, t.correlation, SCHEDULE, *own)
    for f in unit.effects:
        subject = effect_subject(f.effect_kind, root)
        yield sent(f.key, f.causation, f.correlation, SEND, subject, subject)


def _processed(pending: Pending, outcome: str, root: str, begun_at: datetime, ended_at: datetime) -> Span:
    project, subject = pending.address.project, command_subject(pending.address, root)
    template = template_of(pending.address, root)
    there, failed = pending.place, ""
    if outcome in ("quarantined", "parked"):
        # It may be processed yet, when its actor goes on: this is another span then.
        there = there.at(span_id("quarantined" if outcome == "quarantined" else "parked", project, pending.id))
        failed = outcome if outcome == "quarantined" else ""
    about = _message(pending.id, *PROCESS, subject, template, pending.correlation)
    about |= {
        "messaging.destination.partition.id": str(partition_of(pending.address)),
        "messaging.message.body.size": len(pending.body),
        "troupe.command.type": pending.type,
        "troupe.outcome": outcome,
    }
    sent = pending.outbox_id > 0
    parent = parent_span(pending.trace, project, pending.id, pending.envelope.causation, sent)
    return Span(f"process {template}", "consumer", there, parent, begun_at, ended_at, about, failed)


def attempt_place(effect: ClaimedEffect, attempt: int) -> TraceContext:
    """Where in its trace that attempt at the effect is made."""
    key = attempt_id(effect.key, attempt)
    return place(effect.trace, effect.address.project, effect.correlation, "effect", key)


def told_place(effect: ClaimedEffect, told: str) -> TraceContext:
    """Where in its trace is on its way what an effect's actor is `told` ("outcome", "unknown.1")."""
    return place(effect.trace, effect.address.project, effect.correlation, "send", f"{effect.key}:{told}")


def spans_of_attempt(
    effect: ClaimedEffect, attempt: int, root: str, times: tuple[datetime, datetime], ended: str, told: str
) -> Iterator[Span]:
    """One attempt at an effect, and what its actor was `told` ("": nothing). `ended`: how it ended."""
    there, project = attempt_place(effect, attempt), effect.address.project
    subject = effect_subject(effect.effect_kind, root)
    about = _message(effect.key, *PROCESS, subject, subject, effect.correlation)
    about |= {"troupe.effect.attempt": attempt, "troupe.outcome": ended}
    failed = "" if ended in ("done", "recorded", "settled") else ended
    parent = span_id("send", project, effect.key)
    yield Span(f"process {subject}", "consumer", there, parent, *times, about, failed)
    if told:
        to = effect.address
        about = _message(
            f"{effect.key}:{told}", *SEND, command_subject(to, root), template_of(to, root), effect.correlation
        )
        name = f"send {template_of(to, root)}"
        yield Span(name, "producer", told_place(effect, told), there.span_id, times[1], times[1], about)


def template_of(address: Address, root: str) -> str:
    """The subject of that actor's kind: few differ, so spans can be grouped by it."""
    return command_subject(address, root).removesuffix(address.name) + "{id}"


def _message(id: str, name: str, type_: str, destination: str, template: str, correlation: str) -> dict[str, Attribute]:
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": type_,
        "messaging.destination.name": destination,
        "messaging.destination.template": template,
        "messaging.message.id": id,
        "messaging.message.conversation_id": correlation,
    }


def record_works(tracer: Tracer, works: Sequence[Work], root: str, ended_at: datetime) -> None:
    """Record what these units came to."""
    for work in works:
        record_all(tracer, spans_of_work(work, root, ended_at))


def record_all(tracer: Tracer, spans: Iterator[Span]) -> None:
    """Record these as they are made. What goes wrong with that costs spans, and not the turn they are about."""
    try:
        for span in spans:
            tracer.record(span)
    except Exception:
        log.exception("tracing.no_spans")
