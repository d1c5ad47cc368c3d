"""A PostgreSQL with the settings that Troupe ships, of a test's own: to be crashed, filled up and revived."""

import os
import resource
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from actors.embedded.folder import StateFolder
from actors.embedded.postgres import NAME
from actors.embedded.records import read_records
from actors.embedded.servers import start_servers, stop_servers

RESTART_S_MAX = 120.0


class DurablePostgres:
    """The server of one folder. It comes back on the same port."""

    def __init__(self, folder: StateFolder, dsn: str) -> None:
        self.folder, self.dsn = folder, dsn

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        pid = read_records(self.folder)[NAME].pid
        assert pid is not None
        return pid

    def children(self) -> list[int]:
        """The pids of the postmaster's processes, backends among them."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def backends(self) -> list[int]:
        """Those that serve a client."""
        return [pid for pid in self.children() if b": troupe " in _command_line(pid)]

    def quit(self) -> None:
        """SIGQUIT: the server ends at once, as in a crash, and recovers from its log at the next start."""
        os.kill(self.pid, signal.SIGQUIT)

    async def restart(self, file_bytes_max: int = -1) -> None:
        """End it and start it again, so that none of its files may grow beyond so many bytes (-1: as they like)."""
        await stop_servers(self.folder, (NAME,))
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, hard))  # The server inherits it.
        try:
            await self.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    async def start(self) -> None:
        """Have it running; one that runs is left alone."""
        with anyio.fail_after(RESTART_S_MAX):
            await start_servers(self.folder, want=(NAME,))


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


@asynccontextmanager
async def durable_postgres() -> AsyncGenerator[DurablePostgres]:
    """Started, and stopped and removed at the end."""
    with StateFolder.ephemeral() as folder:
        try:
            servers = await start_servers(folder, want=(NAME,))
            yield DurablePostgres(folder, servers.postgres_dsn)
        finally:
            await stop_servers(folder, (NAME,))
