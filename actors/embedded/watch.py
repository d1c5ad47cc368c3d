"""Keeps the servers under a running company: starts again what died, and a broker that a full disk made deaf.

nats-server gives a stream up at the first write that fails and goes on refusing every message when there is room again;
who publishes without waiting for its answer hears nothing of it. Started again it takes messages: nothing of ours is
lost with it, and every client reconnects by itself. PostgreSQL needs no such help, it refuses what it cannot write and
tries again.
"""

import shutil
from collections.abc import Awaitable, Callable
from time import monotonic

import anyio
import structlog

from actors.embedded.errors import EmbeddedError
from actors.embedded.folder import StateFolder
from actors.embedded.nats import NAME as NATS
from actors.embedded.servers import lost_servers, start_servers, stop_servers

WATCH_EVERY_S = 1.0
PROBE_EVERY_S = 30.0  # Without a sign of a full disk: quotas and broken disks give none.
FREE_BYTES_MIN = 8 * 1024 * 1024  # With less than that both servers are refused what they write.

log = structlog.get_logger("host")


async def watch(folder: StateFolder, want: tuple[str, ...], refusal: Callable[[], Awaitable[str]]) -> None:
    """Watch for ever. `refusal` asks the broker to store a message and says why it does not, "" when it does."""
    probe_at, full = monotonic() + PROBE_EVERY_S, False
    while True:
        await anyio.sleep(WATCH_EVERY_S)
        try:
            await _revive(folder, want)
            if disk_full(folder):
                if not full:
                    log.error("host.disk_full", folder=str(folder.path), next="free some space; what runs waits for it")
                full = True
            elif NATS in want and (full or monotonic() >= probe_at):
                await _hear(folder, want, refusal)
                probe_at, full = monotonic() + PROBE_EVERY_S, False
        except (EmbeddedError, OSError) as error:
            log.error("host.server_not_restarted", error=str(error))


def disk_full(folder: StateFolder) -> bool:
    """Whether the servers of the folder have no room left to write."""
    return shutil.disk_usage(folder.path).free < FREE_BYTES_MIN


async def _revive(folder: StateFolder, want: tuple[str, ...]) -> None:
    """Start a server of ours again when it died: on the same port, so that every client finds it."""
    lost = lost_servers(folder, want)
    if lost:
        log.warning("host.server_died", servers=sorted(lost))
        await start_servers(folder, want=want)


async def _hear(folder: StateFolder, want: tuple[str, ...], refusal: Callable[[], Awaitable[str]]) -> None:
    """Start the broker again when it stores nothing although it could."""
    why = await refusal()
    if why:
        log.error("host.broker_deaf", error=why)
        await stop_servers(folder, (NATS,))
        await start_servers(folder, want=want)
