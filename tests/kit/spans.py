"""A tracer that keeps what it is told, and a collector of spans on a port of this machine."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from actors.runtime.tracing import Span
from protocol.trace import TraceContext

GIVEN = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", state="vendor=17")


class NotingTracer:
    """Keeps every span."""

    enabled = True

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def record(self, span: Span) -> None:
        self.spans.append(span)

    def named(self, name: str) -> Span:
        """The one span of that name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span


@dataclass(frozen=True)
class Collected:
    """A span as a collector has it; ids in hexadecimal, `process` says who sent it."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool
    state: str
    process: str
    seconds: float


@dataclass
class Collector:
    """OTLP over HTTP, as protocol buffers."""

    url: str = ""
    refuses: int = 0  # That many requests are answered with 503.
    spans: list[Collected] = field(default_factory=list[Collected])
    resources: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _stirred: anyio.Event = field(default_factory=anyio.Event)

    async def take(self, request: web.Request) -> web.Response:
        content = await request.read()
        if self.refuses:
            self.refuses -= 1
            return web.Response(status=503)
        message = ExportTraceServiceRequest.FromString(content)
        for resource_spans in message.resource_spans:
            resource = _values(resource_spans.resource.attributes)
            self.resources.append(resource)
            for scope in resource_spans.scope_spans:
                self.spans.extend(_span(span, str(resource["service.instance.id"])) for span in scope.spans)
        self._stirred.set()
        return web.Response(content_type="application/x-protobuf")

    async def until(self, count: int) -> list[Collected]:
        """What there is, once there are so many spans."""
        with anyio.fail_after(20.0):
            while len(self.spans) < count:
                self._stirred = anyio.Event()
                await self._stirred.wait()
        return self.spans


def _values(attributes: Iterable[Any]) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _span(span: Any, process: str) -> Collected:
    return Collected(
        span.name, span.kind, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
        _values(span.attributes), span.status.code == 2, span.trace_state, process,
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )  # fmt: skip


@asynccontextmanager
async def collector() -> AsyncGenerator[Collector]:
    """One that listens until the block ends."""
    there = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", there.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        there.url = f"http://{host}:{port}"
        yield there
    finally:
        await runner.cleanup()


def chains(spans: Iterable[Collected]) -> list[str]:
    """What is wrong with them as one trace below GIVEN: spans whose parent nobody sent, or that came twice."""
    by_id: dict[str, list[Collected]] = defaultdict(list)
    for span in spans:
        by_id[span.span_id].append(span)
    twice = [f"{found[0].name} came {len(found)} times" for found in by_id.values() if len(found) > 1]
    known = {*by_id, GIVEN.span_id}
    return twice + [
        f"{span.name} ({span.attributes.get('messaging.message.id')}) hangs in the air"
        for found in by_id.values()
        for span in found
        if span.parent not in known
    ]
