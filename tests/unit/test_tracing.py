"""What is told of commands, sends, effects, completions and tools; and that export costs nothing but spans."""

import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import anyio
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from actors.cli.exits import Exit, Stop
from actors.cli.pub import pub
from actors.edge.tracing import export
from actors.edge.tracing.export import BadTracing, SpanExport, exporting, url_in
from actors.runtime.kind import EffectCall, Performer
from actors.runtime.traces import attempt_id, parent_span
from actors.runtime.tracing import NO_TRACER, Span, Tracer, record_works, spans_of_attempt
from actors.runtime.turn import Loaded, Pending
from actors.runtime.work import Work, decide, quarantine
from actors.services.router.provider import Completion, CompletionRequest, ProviderError
from actors.services.tracing import traced_provider, traced_tools
from actors.settings import HostError, Settings
from eventstore.store import ClaimedEffect
from protocol.codec import encode
from protocol.envelope import Envelope
from protocol.message import Command, tag_of
from protocol.subjects import Address
from protocol.tools import RecordReturn, Status, ToolWork
from protocol.trace import TraceContext, span_id, trace_id
from tests.kit.counting import KINDS, Begin, Serve
from tests.kit.spans import GIVEN, NotingTracer
from tests.kit.units import NOON

LATER = datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)
WORDS = "a secret that nobody may be told"


def clock() -> datetime:
    return LATER


def pending(kind: str, command: Command, id_: str = "c1", trace: str = "", **more: Any) -> Pending:
    to = Address("demo", kind, "a1")
    return Pending(
        to, id_, tag_of(command), encode(command), NOON, "a1", Envelope(id=id_), command, trace=trace, **more
    )


def worked(*commands: Pending) -> Work:
    kind = KINDS[commands[0].address.kind]
    address = commands[0].address
    (work,), _ = decide(kind, address, Loaded(kind.initial(address), 0), list(commands), NOON)
    return work


def told(*works: Work) -> NotingTracer:
    tracer = NotingTracer()
    record_works(tracer, works, "troupe", LATER)
    return tracer


def test_a_command_and_what_it_sends_are_one_trace() -> None:
    tracer = told(worked(pending("player", Serve("p2", 2))))
    command, first, second = tracer.spans
    assert {span.context.trace_id for span in tracer.spans} == {trace_id("demo", "a1")}
    assert (command.name, command.kind, command.parent) == ("process troupe.cmd.demo.player.{id}", "consumer", "")
    assert command.context.span_id == span_id("process", "demo", "c1")
    assert (command.begun_at, command.ended_at) == (NOON, LATER)
    assert command.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "troupe.cmd.demo.player.a1",
        "messaging.destination.template": "troupe.cmd.demo.player.{id}",
        "messaging.destination.partition.id": command.attributes["messaging.destination.partition.id"],
        "messaging.message.id": "c1",
        "messaging.message.conversation_id": "a1",
        "messaging.message.body.size": len(encode(Serve("p2", 2))),
        "troupe.command.type": "player.serve.v1",
        "troupe.outcome": "accepted",
    }
    assert {span.parent for span in (first, second)} == {command.context.span_id}
    assert [span.context.span_id for span in (first, second)] == [
        span_id("send", "demo", f"player/a1@{n}.0") for n in (1, 2)
    ]
    assert (first.kind, first.attributes["messaging.operation.type"]) == ("producer", "send")
    assert first.attributes["messaging.destination.name"] == "troupe.cmd.demo.player.p2"


def test_whoever_receives_a_send_names_it_as_the_parent() -> None:
    sent = told(worked(pending("player", Serve("p2", 1)))).spans[1]
    received = pending("player", Serve("p1", 0), "player/a1@1.0", outbox_id=7)
    assert told(worked(received)).spans[0].parent == sent.context.span_id


def test_a_given_trace_goes_on_in_all_of_it() -> None:
    plain, given = pending("player", Serve("p2", 1)), pending("player", Serve("p2", 1), "c2", GIVEN.stored)
    tracer = told(worked(plain, given))
    traces = {str(span.attributes["messaging.message.id"]): span.context for span in tracer.spans}
    assert {id_ for id_, context in traces.items() if context.trace_id == GIVEN.trace_id} == {"c2", "player/a1@2.0"}
    assert {context.state for context in traces.values()} == {"", GIVEN.state}
    assert (
        next(span for span in tracer.spans if span.attributes["messaging.message.id"] == "c2").parent == GIVEN.span_id
    )


def test_a_timer_is_made_and_its_firing_belongs_below_it() -> None:
    tracer = told(worked(pending("worker", Begin("tea", 5.0))))
    made = tracer.spans[1]
    assert (made.kind, made.attributes["messaging.operation.type"]) == ("producer", "create")
    assert parent_span("", "demo", "timer:late:12", "worker/a1@1", True) == made.context.span_id
    assert parent_span("", "demo", "timer:late:12", "runtime/3@1", True) == ""


def test_a_quarantined_command_is_a_failure_of_its_own_span() -> None:
    killer = pending("player", Serve("p2", 1), trace=GIVEN.stored)
    (span,) = told(quarantine(killer, WORDS)).spans
    assert (span.error, span.context.trace_id, span.parent) == ("quarantined", GIVEN.trace_id, GIVEN.span_id)
    assert span.context.span_id != killer.place.span_id, "it may be processed yet"
    assert WORDS not in repr(span)


def claimed(trace: str = "") -> ClaimedEffect:
    at = Address("demo", "worker", "a1")
    return ClaimedEffect(
        at, "worker/a1@1.0", "job", "once", b"{}", NOON, "a1", "worker/a1@1", 2, uuid4(), "", "", trace
    )


@pytest.mark.parametrize(
    ("ended", "error", "said"),
    [
        ("done", "", "outcome"),
        ("retried", "retried", ""),
        ("given_up", "given_up", "outcome"),
        ("unknown", "unknown", "unknown.2"),
    ],
)
def test_an_attempt_belongs_below_its_effect_and_its_outcome_below_the_attempt(
    ended: str, error: str, said: str
) -> None:
    wanted = told(worked(pending("worker", Begin("tea")))).spans[1]
    spans = list(spans_of_attempt(claimed(), 2, "troupe", (NOON, LATER), ended, said))
    attempt, *outcome = spans
    assert (attempt.name, attempt.kind, attempt.error) == ("process troupe.fx.job", "consumer", error)
    assert wanted.attributes["messaging.destination.name"] == "troupe.fx.job"
    assert attempt.parent == wanted.context.span_id
    assert attempt.context.span_id == span_id("effect", "demo", attempt_id("worker/a1@1.0", 2))
    assert attempt.attributes["troupe.effect.attempt"] == 2
    if not said:
        assert outcome == []
        return
    received = parent_span("", "demo", f"worker/a1@1.0:{said}", "worker/a1@1.0", True)
    assert [(span.parent, span.context.span_id) for span in outcome] == [(attempt.context.span_id, received)]


class Parrot:
    """A provider that notes what it was asked."""

    name = "parrot"

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[CompletionRequest] = []
        self._error = error

    async def complete(self, request: CompletionRequest) -> Completion:
        self.asked.append(request)
        if self._error is not None:
            raise self._error
        return Completion(WORDS, (), self.name, "parrot-1", 11, 7, WORDS, 0.1, "resp-1")


def asked(model: str = "", key: str = "demo/k/now") -> CompletionRequest:
    return CompletionRequest("architect", model, WORDS, (), (), "t1", key, GIVEN)


async def test_a_completion_is_a_span_with_the_conventions_names_and_without_a_word_of_it() -> None:
    tracer, parrot = NotingTracer(), Parrot()
    await traced_provider(parrot, tracer, clock).complete(asked())
    (span,) = tracer.spans
    assert (span.name, span.kind, span.parent, span.error) == ("chat parrot-1", "client", GIVEN.span_id, "")
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "parrot",
        "gen_ai.conversation.id": "t1",
        "gen_ai.request.model": "parrot-1",
        "gen_ai.response.model": "parrot-1",
        "gen_ai.response.id": "resp-1",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "troupe.role": "architect",
    }
    assert parrot.asked[0].trace == span.context, "the provider is asked as that span"
    assert span.context == GIVEN.at(span.context.span_id)
    assert WORDS not in repr(span)


async def test_two_completions_of_one_attempt_are_two_spans_and_a_repetition_is_the_same() -> None:
    tracer = NotingTracer()
    provider = traced_provider(Parrot(), tracer, clock)
    for key in ("k", "k:reminded", "k"):
        await provider.complete(asked(key=key))
    first, second, again = [span.context.span_id for span in tracer.spans]
    assert first == again != second


async def test_a_provider_is_told_the_same_place_where_nobody_exports_spans() -> None:
    noted, parrot, tracer = Parrot(), Parrot(), NotingTracer()
    await traced_provider(noted, NO_TRACER, clock).complete(asked())
    await traced_provider(parrot, tracer, clock).complete(asked())
    assert noted.asked == parrot.asked
    await traced_provider(noted, tracer, clock).complete(msgspec.structs.replace(asked(), trace=None))
    assert noted.asked[1].trace is None
    assert len(tracer.spans) == 1


async def test_a_completion_that_fails_says_of_what_kind_and_no_more() -> None:
    tracer = NotingTracer()
    with pytest.raises(ProviderError):
        await traced_provider(Parrot(ProviderError("unavailable", WORDS)), tracer, clock).complete(asked("parrot-2"))
    (span,) = tracer.spans
    assert (span.name, span.error) == ("chat parrot-2", "unavailable")
    assert WORDS not in repr(span)


@pytest.mark.parametrize(
    ("tool", "status", "name", "error"),
    [
        ("tests.run", "done", "execute_tool tests.run", ""),
        ("tests.run", "failed", "execute_tool tests.run", "failed"),
        (WORDS, "done", "execute_tool unknown", ""),
    ],
    ids=["done", "failed", "no tool of ours"],
)
async def test_a_run_of_a_tool_is_a_span(tool: str, status: Status, name: str, error: str) -> None:
    async def perform(call: EffectCall, work: ToolWork) -> RecordReturn:
        return RecordReturn("tools/t1@1", status, WORDS, "", {}, (), 0, 0.1, "")

    performer = Performer("tool", ToolWork, perform, lambda call, work, error: Begin(error), 1, 1, 1.0)
    tracer = NotingTracer()
    call = EffectCall(Address("demo", "tools", "t1"), "tools/t1@1.0", NOON, "t1", 1, trace=GIVEN)
    traced = traced_tools(performer, ["tests.run"], tracer, clock)
    await traced.perform(call, ToolWork("tools/t1@1", tool, "tester", WORDS, WORDS, {"path": WORDS}, ()))
    span = tracer.named(name)
    assert (span.kind, span.parent, span.error) == ("internal", GIVEN.span_id, error)
    assert span.attributes["gen_ai.operation.name"] == "execute_tool"
    assert span.attributes["gen_ai.tool.call.id"] == "tools/t1@1"
    assert WORDS not in repr(span)


class Exporter:
    """What sends spans, as a test wants it: `gate` holds it up, `error` breaks it."""

    def __init__(self, gate: threading.Event | None = None, error: Exception | None = None) -> None:
        self.sent: list[str] = []
        self.begun, self.shut = threading.Event(), threading.Event()
        self._gate, self._error = gate, error

    def export(self, spans: Sequence[Any]) -> object:
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.begun.set()
        if self._gate is not None:
            self._gate.wait()
        if self._error is not None:
            raise self._error
        self.sent.extend(span.name for span in spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.shut.set()


def span(name: str = "s", context: TraceContext = GIVEN) -> Span:
    return Span(name, "internal", context, "", NOON, LATER)


def counted(registry: CollectorRegistry) -> dict[str, float]:
    outcomes = ("exported", "dropped", "failed")
    found = {o: registry.get_sample_value("troupe_trace_spans_total", {"outcome": o}) for o in outcomes}
    return {outcome: value for outcome, value in found.items() if value}


def test_what_is_recorded_is_exported_at_the_latest_when_it_stops() -> None:
    exporter, registry = Exporter(), CollectorRegistry()
    exports = SpanExport(exporter, registry)
    exports.start()
    for n in range(1_000):
        exports.record(span(f"s{n}"))
    exports.record(span("unwanted", TraceContext(GIVEN.trace_id, GIVEN.span_id, sampled=False)))
    exports.stop()
    assert exporter.sent == [f"s{n}" for n in range(1_000)]
    assert counted(registry) == {"exported": 1_000}


def test_a_collector_that_hangs_holds_up_nobody_and_costs_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "QUEUE_SPANS_MAX", 600)
    monkeypatch.setattr(export, "FLUSH_S_MAX", 0.05)
    monkeypatch.setattr(export, "GIVE_UP_S_MAX", 0.05)
    gate = threading.Event()
    exporter, registry = Exporter(gate), CollectorRegistry()
    exports = SpanExport(exporter, registry)
    for _ in range(700):
        exports.record(span())
    assert counted(registry) == {"dropped": 100}
    exports.start()
    assert exporter.begun.wait(10)
    exports.stop()
    assert exporter.shut.is_set()
    assert counted(registry) == {"dropped": 188}, "and what was left when the patience ended"
    gate.set()


def test_an_exporter_that_breaks_breaks_nothing_else() -> None:
    registry = CollectorRegistry()
    exports = SpanExport(Exporter(error=RuntimeError(WORDS)), registry)
    exports.start()
    exports.record(span())
    exports.stop()
    assert counted(registry) == {"failed": 1}


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, ""),
        ({"TROUPE_OTLP_URL": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"TROUPE_OTLP_URL": "https://c/otlp/"}, "https://c/otlp/v1/traces"),
        ({"TROUPE_OTLP_URL": "http://c:4318/v1/traces"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/spans"}, "http://c/spans"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "TROUPE_OTLP_URL": "http://b"}, "http://b/v1/traces"),
        ({"TROUPE_OTLP_URL": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, ""),
        ({"TROUPE_OTLP_URL": " "}, ""),
    ],
    ids=range(9),
)
def test_where_spans_go(environment: dict[str, str], url: str) -> None:
    assert url_in(environment) == url


@pytest.mark.parametrize("url", ["c:4318", "grpc://c:4317", "http://", "http:///v1/traces"])
def test_what_is_no_address_of_a_collector_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_OTLP_URL", url)
    with pytest.raises(HostError, match="TROUPE_OTLP_URL is not the address of a collector") as error:
        Settings.from_environment()
    assert error.value.code == "usage"


async def test_without_the_packages_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "actors.edge.tracing.otel", None)
    with pytest.raises(BadTracing, match=r"pip install 'troupe\[otel\]'"):
        async with exporting("http://127.0.0.1:9/v1/traces", CollectorRegistry()):
            pytest.fail("nothing would be exported")


@pytest.mark.parametrize(
    ("traceparent", "raw", "said"),
    [("nonsense", False, "'nonsense' is no traceparent"), ("new", True, "leave --traceparent out")],
)
def test_the_command_line_says_what_is_no_trace(traceparent: str, raw: bool, said: str) -> None:
    with pytest.raises(Stop, match=said) as stopped:
        pub("troupe.cmd.demo.task.t1", "{}", raw=raw, traceparent=traceparent)
    assert stopped.value.code == Exit.USAGE


async def test_nothing_is_exported_unless_it_is_asked_for() -> None:
    async with exporting("", CollectorRegistry()) as tracer:
        assert tracer is NO_TRACER
        assert not tracer.enabled


def test_what_goes_wrong_with_a_span_costs_the_span_and_not_the_turn() -> None:
    class Broken(NotingTracer):
        def record(self, span: Span) -> None:
            super().record(span)
            raise RuntimeError("no span today")

    tracer = Broken()
    record_works(tracer, [worked(pending("player", Serve("p2", 1))) for _ in range(2)], "troupe", LATER)
    assert len(tracer.spans) == 2, "each unit is tried"


async def test_a_collector_that_is_away_is_given_up_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FLUSH_S_MAX", 0.3)
    registry = CollectorRegistry()
    with anyio.fail_after(export.FLUSH_S_MAX + export.GIVE_UP_S_MAX + 5):
        async with exporting("http://127.0.0.1:9/v1/traces", registry) as tracer:
            tracer.record(span())
    assert counted(registry) == {"failed": 1}


def test_tracers_keep_the_port() -> None:
    tracers: list[Tracer] = [NO_TRACER, NotingTracer(), SpanExport(Exporter(), CollectorRegistry())]
    assert [tracer.enabled for tracer in tracers] == [False, True, True]
