"""A company's process that exports its spans.

`python -m tests.kit.traced_child DSN NATS_URL NATS_TOKEN ROOT OTLP_URL DIES`: says "ready <pid>" on stdout and ends
when its standard input does. If DIES is "dies", it is killed (SIGKILL, by itself) after the first commit of a turn and
before anything of that commit is published: no reply, no doorbell.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence

import anyio
import structlog
from prometheus_client import CollectorRegistry

from actors.edge.tracing.export import exporting
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.ports import NO_TRACES
from actors.runtime.supervisor import running
from eventstore.postgres.store import PostgresStore
from protocol.subjects import Address
from tests.kit.company import STREAM_BYTES_MAX
from tests.kit.counting import KINDS


class DyingBus(NatsBus):
    """Publishes nothing of a turn."""

    async def ring(self, receivers: Sequence[Address], traces: Mapping[Address, str] = NO_TRACES) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def reply(self, inbox: str, body: bytes, traceparent: str = "") -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def _live(dsn: str, nats_url: str, nats_token: str, root: str, otlp_url: str, dies: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    of = DyingBus if dies == "dies" else NatsBus
    async with (
        PostgresStore.open(dsn, prepare=False) as store,
        of.open(nats_url, nats_token, root, STREAM_BYTES_MAX) as bus,
        exporting(f"{otlp_url}/v1/traces" if otlp_url else "", CollectorRegistry()) as tracer,
        running(store, bus, KINDS, {}, utc_now, alone=dies == "dies", tracer=tracer),
    ):
        sys.stdout.write(f"ready {os.getpid()}\n")
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


if __name__ == "__main__":
    dsn, nats_url, nats_token, root, otlp_url, dies = sys.argv[1:]
    anyio.run(_live, dsn, nats_url, nats_token, root, otlp_url, dies)
