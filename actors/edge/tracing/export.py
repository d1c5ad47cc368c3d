"""Spans to a collector by OTLP over HTTP, with the packages of `pip install 'troupe[otel]'`. Off unless asked for.

- Recording a span never waits: it is put into a queue of bounded length, and one thread exports what is there. A
  collector that is away, slow or refuses costs spans, which are counted, and nothing else.
- A clean stop exports what is left for FLUSH_S_MAX and then gives up; a killed process takes its queue with it. The
  spans of what it did are lost then, and the ids of what follows are the same nevertheless.
- Ids are those of protocol/trace.py, so the spans of several processes, of a repetition too, make one trace. What
  somebody does not want sampled is not exported.
"""

import threading
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import anyio
import structlog
from prometheus_client import CollectorRegistry, Counter

from actors.runtime.tracing import NO_TRACER, Span, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

QUEUE_SPANS_MAX = 8_192  # About 10 MB.
BATCH_SPANS_MAX = 512
EXPORT_EVERY_S = 1.0  # Or as soon as there is a batch.
EXPORT_S_MAX = 10.0  # One batch, with what the exporter tries again.
FLUSH_S_MAX = 3.0
GIVE_UP_S_MAX = 1.0  # For an export that is cut.
OURS, STANDARD, STANDARD_TRACES = (
    "TROUPE_OTLP_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)  # fmt: skip
PATH = "/v1/traces"

log = structlog.get_logger("tracing")


class BadTracing(ValueError):
    """Spans cannot be exported as it is set; the text says what to do."""


class Exporter(Protocol):
    """What sends spans; OpenTelemetry's exporters are such. `export` may block, and tells nothing but by its result."""

    def export(self, spans: "Sequence[ReadableSpan]") -> object: ...

    def shutdown(self) -> object: ...


def url_in(environment: Mapping[str, str]) -> str:
    """Where spans go, by TROUPE_OTLP_URL or by OpenTelemetry's own variables; "": nowhere. BadTracing."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    for name in (OURS, STANDARD_TRACES, STANDARD):
        if url := environment.get(name, "").strip():
            return checked_url(name, url)
    return ""


def checked_url(name: str, url: str) -> str:
    """The address for spans below the one that `name` is set to. BadTracing."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadTracing(f"{name} is not the address of a collector (OTLP over HTTP), such as http://127.0.0.1:4318")
    whole = name == STANDARD_TRACES or parts.path.endswith(PATH)
    return url if whole else f"{url.rstrip('/')}{PATH}"


def spans_counted(registry: CollectorRegistry) -> Counter:
    """What became of spans, where they are exported."""
    return Counter(
        "troupe_trace_spans", "Spans for the collector, by what became of them: all but `exported` are lost.",
        ("outcome",), registry=registry,
    )  # fmt: skip


class SpanExport:
    """A Tracer that exports. Start it with `exporting`."""

    enabled = True

    def __init__(self, exporter: Exporter, registry: CollectorRegistry) -> None:
        from actors.edge.tracing.otel import Converter

        self._exporter, self._converter = exporter, Converter()
        self._queue: deque[Span] = deque()
        self._stirred, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._spans = spans_counted(registry)

    def record(self, span: Span) -> None:
        if not span.context.sampled:
            return
        if len(self._queue) >= QUEUE_SPANS_MAX:
            self._spans.labels("dropped").inc()
            return
        self._queue.append(span)
        if len(self._queue) >= BATCH_SPANS_MAX:
            self._stirred.set()

    def start(self) -> None:
        """Begin to export."""
        self._thread.start()

    def stop(self) -> None:
        """Export what is left, for FLUSH_S_MAX, and then end. Blocks that long at most, and GIVE_UP_S_MAX."""
        self._stopping.set()
        self._stirred.set()
        self._thread.join(FLUSH_S_MAX)
        self._exporter.shutdown()  # Cuts an export that tries again.
        self._thread.join(GIVE_UP_S_MAX)
        if left := len(self._queue):
            self._queue.clear()
            self._spans.labels("dropped").inc(left)
            log.warning("tracing.left", spans=left)

    def _run(self) -> None:
        failing = False
        while True:
            self._stirred.wait(EXPORT_EVERY_S)
            self._stirred.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH_SPANS_MAX, len(self._queue)))]
                sent = self._export(batch)
                self._spans.labels("exported" if sent else "failed").inc(len(batch))
                if not sent and not failing:
                    log.warning("tracing.export_failed", spans=len(batch))
                failing = not sent
                if failing and self._stopping.is_set():
                    return
            if self._stopping.is_set():
                return

    def _export(self, batch: Sequence[Span]) -> bool:
        try:
            result = self._exporter.export([self._converter.convert(span) for span in batch])
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises, the company goes on
            log.warning("tracing.exporter_broke", error=type(error).__name__)
            return False
        return getattr(result, "name", "") == "SUCCESS"


@asynccontextmanager
async def exporting(url: str, registry: CollectorRegistry) -> AsyncGenerator[Tracer]:
    """A tracer for the block; it does nothing when the url is "". BadTracing when the packages are missing."""
    if not url:
        yield NO_TRACER
        return
    try:
        from actors.edge.tracing.otel import open_exporter
    except ImportError as error:
        raise BadTracing(
            f"spans are to go to a collector ({OURS} or {STANDARD}), and what sends them is not installed "
            f"({error.name}): pip install 'troupe[otel]', or unset the variable"
        ) from error
    export = SpanExport(open_exporter(url, EXPORT_S_MAX), registry)
    export.start()
    log.info("tracing.exports", host=urlsplit(url).hostname)
    try:
        yield export
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(export.stop)
