"""The monitoring server: /metrics, /healthz and /readyz on loopback, for Prometheus and whoever watches the company.

It answers nobody but this machine, knows no secret and changes nothing. It fails with nothing of the company's: where
it cannot be started the company says so and does not start, where a check hangs the answer says so.
"""

import errno
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from actors.edge.monitoring.checks import Check, examine
from actors.edge.monitoring.ports import PORT_PREFERRED, PortTaken

HOST = "127.0.0.1"
SHUTDOWN_S_MAX = 1.0
_NO_STORE = {"Cache-Control": "no-store"}

log = structlog.get_logger("monitoring")


@dataclass(frozen=True)
class Monitored:
    """What the server shows: `refresh` is awaited before each scrape."""

    registry: CollectorRegistry
    checks: Mapping[str, Check]
    refresh: Callable[[], Awaitable[None]]


@asynccontextmanager
async def monitoring(shown: Monitored, port: int | None = None) -> AsyncGenerator[str]:
    """Serve until the block ends; the base URL. `port` None: PORT_PREFERRED, or a free one when it is taken; 0: a free
    one; else that very one, or PortTaken."""
    # None of its signal handlers, no access log: the company has its own of both.
    runner = web.AppRunner(_application(shown), handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_S_MAX)
    await runner.setup()
    try:
        yield f"http://{HOST}:{await _listen(runner, port)}"
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(2 * SHUTDOWN_S_MAX):
            await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int | None) -> int:
    wanted = PORT_PREFERRED if port is None else port
    try:
        await web.TCPSite(runner, HOST, wanted).start()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        if port is not None:
            why = os.strerror(error.errno)
            raise PortTaken(
                f"the metrics port {port} cannot be used on {HOST} ({why}): end what listens there, or set "
                "TROUPE_METRICS_PORT to another port (0: any free one)"
            ) from error
        await web.TCPSite(runner, HOST, 0).start()
        log.warning("monitoring.port_taken", wanted=wanted, used=runner.addresses[0][1])
    return int(runner.addresses[0][1])


def _application(shown: Monitored) -> web.Application:
    one_at_a_time = anyio.Lock()  # Many who ask at once must not ask PostgreSQL and NATS many times at once.

    async def metrics(_: web.Request) -> web.Response:
        async with one_at_a_time:
            await shown.refresh()
            body = generate_latest(shown.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, **_NO_STORE})

    async def alive(_: web.Request) -> web.Response:
        # That this runs is the answer: the event loop of the company turns.
        return _json({"status": "alive"}, 200)

    async def ready(_: web.Request) -> web.Response:
        async with one_at_a_time:
            readiness = await examine(shown.checks)
        return _json(readiness, 200 if readiness.ready else 503)

    application = web.Application()
    application.add_routes([web.get("/metrics", metrics), web.get("/healthz", alive), web.get("/readyz", ready)])
    return application


def _json(value: object, status: int) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers=_NO_STORE
    )
