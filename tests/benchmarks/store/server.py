"""A PostgreSQL of the benchmark's own, as Troupe ships it (fsync on), and what it costs: processor time and WAL.

The slow disk is emulated by the server itself: `commit_delay=2000, commit_siblings=0` makes every commit that must
reach the disk wait 2 ms more, as an ordinary disk would.

It is started and stopped by a loop of asyncio's own: uvloop, on which everything is measured, cannot start a process as
another user.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import asyncpg

from actors.embedded import postgres
from actors.embedded.folder import StateFolder
from actors.embedded.servers import start_servers, stop_servers

SLOW_DISK = {"commit_delay": "2000", "commit_siblings": "0"}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Processor seconds of this process and of the server, and bytes of WAL, so far."""

    client_s: float
    server_s: float
    wal_bytes: int

    def __sub__(self, before: "Cost") -> "Cost":
        return Cost(self.client_s - before.client_s, self.server_s - before.server_s, self.wal_bytes - before.wal_bytes)


class Server:
    """The running server, and a connection to look at it."""

    def __init__(self, dsn: str, postmaster: int, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.dsn, self.run = dsn, connection
        self._postmaster = postmaster

    async def cost(self) -> Cost:
        wal: Any = await self.run.fetchval("select pg_current_wal_insert_lsn() - '0/0'")
        times = os.times()
        return Cost(times.user + times.system, tree_s(self._postmaster), int(wal))

    async def slow_disk(self, on: bool) -> None:
        """For every session, also those already there: each reads its settings before its next statement."""
        for name, value in SLOW_DISK.items():
            await self.run.execute(f"alter system set {name} = {value}" if on else f"alter system reset {name}")
        await self.run.execute("select pg_reload_conf()")

    async def settled(self) -> None:
        """No checkpoint and no vacuum owed by what was written before."""
        await self.run.execute("vacuum analyze")
        await self.run.execute("checkpoint")


@asynccontextmanager
async def bench_server() -> AsyncGenerator[Server]:
    with StateFolder.ephemeral() as folder:
        try:
            servers = await anyio.to_thread.run_sync(anyio.run, partial(start_servers, folder, want={postgres.NAME}))
            first_line = (folder.postgres / "data" / "postmaster.pid").read_text().partition("\n")[0]
            connection: Any = await asyncpg.connect(servers.postgres_dsn)
            try:
                yield Server(servers.postgres_dsn, int(first_line), connection)
            finally:
                await connection.close()
        finally:
            await anyio.to_thread.run_sync(anyio.run, stop_servers, folder, {postgres.NAME})


def tree_s(postmaster: int) -> float:
    """Processor time of the server: its processes that live, and those it has waited for (proc(5), fields of stat)."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        own = int(stat.parent.name) == postmaster
        if own or int(fields[1]) == postmaster:
            ticks += int(fields[11]) + int(fields[12])
        if own:
            ticks += int(fields[13]) + int(fields[14])
    return ticks / _TICKS
