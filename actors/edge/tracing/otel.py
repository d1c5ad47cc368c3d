"""Our spans as OpenTelemetry's, with ids that are worked out and not drawn. Imported only where spans are exported:
its packages are an extra."""

import os
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from actors.runtime.tracing import Span
from protocol.trace import TraceContext

SERVICE = "troupe"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


class Converter:
    """Makes them, all of one resource: this process (OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say more of it)."""

    def __init__(self) -> None:
        said = Resource.create({"service.instance.id": f"{os.uname().nodename}:{os.getpid()}"})
        named = str(said.attributes.get("service.name", "")).startswith("unknown_service")
        self._resource = said.merge(Resource({"service.name": SERVICE})) if named else said
        self._scope = InstrumentationScope(SERVICE, version("troupe") if _installed() else None)

    def convert(self, span: Span) -> ReadableSpan:
        """The same span."""
        status = Status(StatusCode.ERROR) if span.error else Status(StatusCode.UNSET)
        return ReadableSpan(
            span.name,
            _context(span.context, span.context.span_id, remote=False),
            _context(span.context, span.parent, remote=span.kind == "consumer") if span.parent else None,
            self._resource,
            {**span.attributes, "error.type": span.error} if span.error else dict(span.attributes),
            kind=_KINDS[span.kind],
            status=status,
            start_time=_nanoseconds(span.begun_at),
            end_time=_nanoseconds(span.ended_at),
            instrumentation_scope=self._scope,
        )


def open_exporter(url: str, timeout_s: float) -> OTLPSpanExporter:
    """What sends spans to that address; OTEL_EXPORTER_OTLP_HEADERS and the like are heeded."""
    session = requests.Session()
    # As everywhere in the program: proxies of the environment are for other machines.
    session.trust_env = (urlsplit(url).hostname or "") not in LOOPBACK
    return OTLPSpanExporter(endpoint=url, timeout=timeout_s, session=session)


def _context(context: TraceContext, span_id: str, remote: bool) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(int(context.trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED), state)


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND * 1_000


def _installed() -> bool:
    """Whether this runs as an installed package: from a checkout it has no version."""
    try:
        version("troupe")
    except ImportError:
        return False
    return True
