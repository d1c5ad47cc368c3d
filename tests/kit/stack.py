"""A pair of real servers that a test may kill, start again and rob of their data."""

import os
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from actors.embedded.folder import StateFolder
from actors.embedded.records import read_records
from actors.embedded.servers import SERVERS, Servers, start_servers, stop_servers
from tests.kit.servers import FAST

RESTART_S_MAX = 60.0


class Stack:
    """Servers of one folder. They come back on the same ports."""

    def __init__(self, folder: StateFolder, servers: Servers) -> None:
        self.folder, self.servers = folder, servers

    def kill(self, name: str) -> None:
        """kill -9, as a machine dies."""
        pid = read_records(self.folder)[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    async def start(self) -> None:
        """Have both servers running; those that live are left alone."""
        with anyio.fail_after(RESTART_S_MAX):
            await start_servers(self.folder, postgres_options=FAST)

    async def restart(self, name: str) -> None:
        self.kill(name)
        await self.start()

    async def lose_jetstream(self) -> None:
        """The broker's disk is gone; the broker comes back empty."""
        self.kill("nats")
        shutil.rmtree(self.folder.nats / "store")
        await self.start()


@asynccontextmanager
async def own_stack() -> AsyncGenerator[Stack]:
    with StateFolder.ephemeral() as folder:
        try:
            yield Stack(folder, await start_servers(folder, postgres_options=FAST))
        finally:
            await stop_servers(folder, SERVERS)
