"""A worker process of the measured company: the runtime as it is, hosting the counter of the tests.

Its settings are the first line of the standard input; it says `ready` when it owns its share, and stops cleanly when
the standard input ends.
"""

import logging
import sys

import anyio
import anyio.to_thread
import msgspec
import structlog

from actors.runtime.activation import CacheLimits
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.supervisor import running
from eventstore.postgres.store import PostgresStore
from tests.kit.counting import COUNTER


class Settings(msgspec.Struct):
    """Where the servers are, whether this is the only process, and what its cached actors may take (0: as usual)."""

    postgres_dsn: str
    nats_url: str
    nats_token: str
    root: str
    alone: bool
    cache_bytes: int = 0


async def main() -> None:
    line = await anyio.to_thread.run_sync(sys.stdin.buffer.readline)
    settings = msgspec.json.decode(line, type=Settings)
    cache = CacheLimits(bytes_max=settings.cache_bytes) if settings.cache_bytes else None
    async with (
        PostgresStore.open(settings.postgres_dsn, settings.root) as store,
        NatsBus.open(settings.nats_url, settings.nats_token, settings.root) as bus,
        running(store, bus, {COUNTER.name: COUNTER}, {}, utc_now, settings.alone, cache=cache),
    ):
        sys.stdout.write('"ready"\n')
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.buffer.readline, abandon_on_cancel=True)


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    anyio.run(main)
