"""A trace goes on through every message, effect and provider call: on real servers, after a kill, between processes."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import anyio
import pytest
from anyio.to_thread import run_sync
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from prometheus_client import CollectorRegistry
from structlog.contextvars import get_contextvars

from actors.edge.tracing.export import exporting
from actors.embedded.servers import Servers
from actors.runtime.client import Client
from actors.runtime.kind import EffectCall, Performer
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.nats_taps import NatsTaps
from actors.runtime.supervisor import Runtime, running
from actors.runtime.traces import attempt_id
from actors.runtime.tracing import NO_TRACER, Tracer
from actors.services.router.complaints import Endpoint
from actors.services.router.exchange import ModelProvider, Usage
from actors.services.router.openai import KEY_SETTING, NAME, ChatCompletions
from actors.services.router.provider import ChatMessage, CompletionRequest
from actors.services.tracing import traced_provider
from eventstore.postgres.store import PostgresStore
from protocol.message import Command
from protocol.subjects import PARTITIONS, command_subject, dead_subject, effect_subject, tap_subject
from protocol.trace import TraceContext, parse, span_id, trace_id
from tests.kit.company import PATIENCE_S, STREAM_BYTES_MAX, Company, at, company
from tests.kit.counting import KINDS, Add, Begin, Job, Report, Serve
from tests.kit.mirrors import Mirrors
from tests.kit.model_server import KEY, model_server
from tests.kit.spans import GIVEN, Collected, NotingTracer, chains, collector

W1, P1, P2 = at("worker", "w1"), at("player", "p1"), at("player", "p2")
HEADERS = {"traceparent": GIVEN.traceparent, "tracestate": GIVEN.state}
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with company(servers, database) as opened:
        yield opened


@asynccontextmanager
async def model_job(url: str, seen: list[object], tracer: Tracer = NO_TRACER) -> AsyncGenerator[dict[str, Performer]]:
    """A performer of jobs that asks a model over HTTP."""

    async def no_price(url: str, model: str, usage: Usage) -> float | None:
        return None

    async with aiohttp.ClientSession() as session:
        wire = ChatCompletions(session, Endpoint(NAME, f"{url}/v1", KEY_SETTING, key=KEY))
        provider = traced_provider(ModelProvider(wire, "parrot-1", no_price), tracer, utc_now)

        async def perform(call: EffectCall, work: Job) -> Command:
            call.tap.emit(b"at work")
            seen.append(get_contextvars()["trace_id"])
            said = (ChatMessage("user", work.job),)
            request = CompletionRequest("tester", "", "", said, (), call.correlation, call.key, call.trace)
            return Report(work.job, (await provider.complete(request)).response_id)

        yield {"job": Performer("job", Job, perform, lambda call, work, error: Report(work.job, error), 2, 1, 10.0)}


async def next_of(subscription: Subscription) -> TraceContext:
    """The place in a trace that the next message there names."""
    message: Msg = await subscription.next_msg(timeout=PATIENCE_S)
    found = parse((message.headers or {}).get("traceparent", ""))
    assert found is not None, f"{message.subject} names no trace: {message.headers}"
    return found


def place(about: str, id_: str, trace: str = GIVEN.trace_id) -> tuple[str, str]:
    return trace, span_id(about, "demo", id_)  # pyright: ignore[reportArgumentType]  # a word of the tests'


def of(context: TraceContext) -> tuple[str, str]:
    return context.trace_id, context.span_id


@pytest.mark.parametrize("given", [True, False], ids=["given", "worked out"])
async def test_every_message_of_a_task_names_its_place_in_one_trace(office: Company, given: bool) -> None:
    trace, headers = (GIVEN.trace_id, HEADERS) if given else (trace_id("demo", "w1"), {"traceparent": "no such thing"})
    seen: list[object] = []
    root = office.bus.root
    listen = office.asker.listen_to
    inbox, rung = await listen("_INBOX.trace.w1"), await listen(command_subject(W1, root))
    effects, tapped = await listen(effect_subject("job", root)), await listen(tap_subject(W1, root))
    taps = NatsTaps(office.bus)
    async with (
        model_server() as server,
        model_job(server.url, seen) as performers,
        running(office.store, office.bus, KINDS, performers, utc_now, True, taps=taps),
    ):
        await office.asker.publish(W1, Begin("tea"), Troupe_Reply_To="_INBOX.trace.w1", ce_id="c1", **headers)
        replied, wanted, chunk = await next_of(inbox), await next_of(effects), await next_of(tapped)
        await rung.next_msg(timeout=PATIENCE_S)  # The command itself.
        outcome = await next_of(rung)
        events = await office.events(W1, 2)
    key = "worker/w1@1.0"
    attempt = span_id("effect", "demo", attempt_id(key, 1))
    assert of(replied) == place("process", "c1", trace)
    assert of(wanted) == place("send", key, trace)
    assert of(chunk) == (trace, attempt)
    assert of(outcome) == place("send", f"{key}:outcome", trace)
    assert seen == [trace], "log lines carry it"
    ((asked, state),) = server.traces
    assert parse(asked) == TraceContext(trace, span_id("completion", "", f"{attempt}/{key}"))
    assert state == (GIVEN.state if given else "")
    references = [("demo", event.reference) for event in events]
    assert set(await office.store.traces.given(references)) == set(references if given else ())


async def test_sends_timers_and_the_mirror_go_on_in_the_given_trace(office: Company, servers: Servers) -> None:
    tracer, root = NotingTracer(), office.bus.root
    mirrors = Mirrors(servers, office.bus.client, root)
    rung = await office.asker.listen_to(command_subject(P2, root))
    async with running(office.store, office.bus, KINDS, {}, utc_now, True, tracer=tracer):
        await office.asker.ask(P1, Serve("p2", 2), "c1", **HEADERS)
        assert of(await next_of(rung)) == place("send", "player/p1@1.0")
        await office.asker.ask(W1, Begin("tea", 0.0), "c2", **HEADERS)
        await office.asker.ask(at("counter", "x"), Add(1), "c3")
        events = [*await office.events(W1, 2), *await office.events(P1, 3), *await office.events(P2, 2)]
        await office.quiet()
    given = await office.store.traces.given([("demo", event.reference) for event in events])
    assert len(given) == len(events), "each event that followed, through three actors and a timer"
    found = {str(span.attributes["messaging.message.id"]): span for span in tracer.spans if span.kind == "consumer"}
    assert found.pop("c3").context.trace_id == trace_id("demo", "x"), "nobody gave it another"
    assert {span.context.trace_id for span in found.values()} == {GIVEN.trace_id}
    known = {span.context.span_id for span in tracer.spans} | {GIVEN.span_id}
    assert {span.parent for span in found.values()} <= known, "each names a parent that was told"
    async with mirrors.running(mirrors.of(office.store)):
        await mirrors.until(await office.store.head())
    stream = office.bus.client.jetstream()
    for event in events:
        headers: dict[str, str] = (await stream.get_msg(mirrors.name, event.position)).headers or {}  # pyright: ignore[reportUnknownVariableType]
        told = parse(headers["traceparent"], headers["tracestate"])
        assert told == GIVEN.at(span_id("process", "demo", event.causation))
    await stream.delete_stream(mirrors.name)


async def test_a_dead_letter_and_what_waits_with_it_keep_their_trace(office: Company) -> None:
    counter = at("counter", "c1")
    buried = await office.asker.listen_to(dead_subject(counter, office.bus.root))
    async with office.runs():
        await office.asker.ask(counter, Add(1, "decide"), "bad", **HEADERS)
        assert of(await next_of(buried)) == place("process", "bad")
        waits = await office.asker.ask(counter, Add(2), "waits", **HEADERS)
        assert waits.outcome == "parked"
    assert await office.store.dead.drop(counter) is not None
    (row,) = await office.store.pending_sends([counter], 9)
    assert (row.id, row.trace) == ("waits", GIVEN.stored)
    async with office.runs():
        (event,) = await office.events(counter, 1)
    assert await office.store.traces.given([("demo", event.reference)])


async def test_a_client_continues_a_trace_or_begins_one(office: Company, servers: Servers) -> None:
    async with office.runs(), Client.open(servers.nats_url, servers.nats_token, office.bus.root) as client:
        begun = client.new_trace()
        for n, trace in enumerate((GIVEN, begun, None)):
            assert (await client.ask(at("counter", f"c{n}"), Add(1), trace=trace)).outcome == "accepted"
    given = await office.store.traces.given([("demo", f"counter/c{n}@1") for n in range(3)])
    assert [context.trace_id for text in given.values() if (context := parse(text.split()[0]))] == [
        GIVEN.trace_id,
        begun.trace_id,
    ]


@contextmanager
def child(office: Company, servers: Servers, folder: Path, url: str, dies: str) -> Generator["subprocess.Popen[str]"]:
    arguments = [office.database, servers.nats_url, servers.nats_token, office.bus.root, url, dies]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.kit.traced_child", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


async def ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    with anyio.fail_after(PATIENCE_S):
        assert (await run_sync(process.stdout.readline, abandon_on_cancel=True)).startswith("ready")


async def test_a_process_killed_between_commit_and_publish_takes_no_trace_with_it(
    office: Company, servers: Servers, tmp_path: Path
) -> None:
    with child(office, servers, tmp_path, "", "dies") as process:
        await ready(process)
        await office.asker.publish(P1, Serve("p2", 3), "c1", **HEADERS)
        await office.asker.publish(W1, Begin("tea"), "c2", **HEADERS)
        with anyio.fail_after(PATIENCE_S):
            assert await run_sync(process.wait, abandon_on_cancel=True) == -9
    committed = [row for row in await office.sql("select name from streams") if row in ("p1", "w1")]
    assert committed, "it died after a commit"
    assert await office.sql("select 1 from outbox union all select 1 from effects"), "and before what follows from it"
    seen: list[object] = []
    tracer = NotingTracer()
    async with (
        model_server() as server,
        model_job(server.url, seen) as performers,
        running(office.store, office.bus, KINDS, performers, utc_now, True, tracer=tracer),
    ):
        events = [*await office.events(W1, 2), *await office.events(P2, 4), *await office.events(P1, 5)]
        await office.quiet()
    assert seen == [GIVEN.trace_id]
    assert [parse(asked, state) for asked, state in server.traces] == [
        GIVEN.at(span_id("completion", "", f"{span_id('effect', 'demo', 'worker/w1@1.0#1')}/worker/w1@1.0"))
    ]
    assert {span.context.trace_id for span in tracer.spans} == {GIVEN.trace_id}
    assert len(await office.store.traces.given([("demo", event.reference) for event in events])) == len(events)
    (received,) = [s for s in tracer.spans if s.context.span_id == span_id("process", "demo", "player/p1@1.0")]
    assert received.parent == span_id("send", "demo", "player/p1@1.0"), "named as the dead one would have"


@asynccontextmanager
async def process(office: Company, servers: Servers, url: str) -> AsyncGenerator[Runtime]:
    """This process's part of the company, which exports to the collector too."""
    async with (
        PostgresStore.open(office.database) as store,
        NatsBus.open(servers.nats_url, servers.nats_token, office.bus.root, stream_bytes_max=STREAM_BYTES_MAX) as bus,
        model_server() as server,
        exporting(f"{url}/v1/traces", CollectorRegistry()) as tracer,
        model_job(server.url, [], tracer) as performers,
        running(store, bus, KINDS, performers, utc_now, False, tracer=tracer) as runtime,
    ):
        yield runtime


async def test_the_spans_of_two_processes_are_one_trace(office: Company, servers: Servers, tmp_path: Path) -> None:
    players, rallies = 6, 3
    async with collector() as there:
        there.refuses = 1
        with child(office, servers, tmp_path, there.url, "lives") as other:
            async with process(office, servers, there.url) as mine:
                await ready(other)
                with anyio.fail_after(PATIENCE_S):
                    while len(mine.ownership.held) != PARTITIONS // 2:
                        await anyio.sleep(0.005)
                for n in range(players):
                    reply = await office.asker.ask(at("player", f"p{n}"), Serve(f"q{n}", rallies), f"c{n}", **HEADERS)
                    assert reply.outcome == "accepted"
                await office.asker.ask(W1, Begin("tea"), "job", **HEADERS)
                await office.events(W1, 2)
                await office.quiet()
            assert other.stdin is not None
            other.stdin.close()  # It ends cleanly then, and exports what is left.
            with anyio.fail_after(PATIENCE_S):
                await run_sync(other.wait, abandon_on_cancel=True)
        check(there.spans, there.resources)


def check(spans: list[Collected], resources: list[dict[str, object]]) -> None:
    assert len({span.process for span in spans}) == 2, "both have sent theirs"
    assert {resource["service.name"] for resource in resources} == {"troupe"}
    assert {span.trace_id for span in spans} == {GIVEN.trace_id}
    assert {span.state for span in spans} == {GIVEN.state}
    assert chains(spans) == []
    crossing = {span.span_id: span.process for span in spans}
    assert any(crossing.get(span.parent, span.process) != span.process for span in spans), "over the border"
    (chat,) = [span for span in spans if span.name == "chat parrot-1"]
    assert chat.kind == 3
    assert chat.attributes["gen_ai.provider.name"] == "openai"
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    assert chat.attributes["gen_ai.response.id"]
    (attempt,) = [span for span in spans if span.span_id == chat.parent]
    assert attempt.name == f"process {attempt.attributes['messaging.destination.name']}"
    assert not any(span.failed for span in spans)
