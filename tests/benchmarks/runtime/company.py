"""The servers and the processes of the company that is measured: the shipped settings and real disks."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio

from actors.embedded.folder import StateFolder
from actors.embedded.servers import SERVERS, start_servers, stop_servers
from eventstore.postgres.store import PostgresStore
from protocol.subjects import PARTITIONS
from tests.benchmarks.runtime import asks, floors, worker
from tests.benchmarks.runtime.children import Child, child, cpu_s
from tests.benchmarks.store.server import tree_s

WARM_IN_FLIGHT = 256
SHARED_OUT_S_MAX = 60.0
LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Place:
    """Where the servers are, and their main processes."""

    nats_url: str
    nats_token: str
    postgres_dsn: str
    nats_pid: int
    postmaster: int

    @property
    def floors(self) -> floors.Where:
        return floors.Where(self.nats_url, self.nats_token, self.postgres_dsn)

    def database(self, name: str) -> str:
        """The DSN of another database of the same server."""
        return urlsplit(self.postgres_dsn)._replace(path=f"/{name}").geturl()

    def servers_cpu_s(self) -> tuple[float, float]:
        """Processor time of PostgreSQL with all its processes, and of nats-server, so far."""
        return tree_s(self.postmaster), cpu_s(self.nats_pid)


@asynccontextmanager
async def servers() -> AsyncGenerator[Place]:
    with StateFolder.ephemeral() as folder:
        try:
            found = await start_servers(folder)
            first_line = (folder.postgres / "data" / "postmaster.pid").read_text().partition("\n")[0]
            nats: Any = json.loads((folder.path / "servers.json").read_text())["nats"]
            yield Place(found.nats_url, found.nats_token, found.postgres_dsn, nats["pid"], int(first_line))
        finally:
            await stop_servers(folder, SERVERS)


@asynccontextmanager
async def hosting(place: Place, root: str, alone: bool = True, cache_bytes: int = 0) -> AsyncGenerator[Child]:
    """A worker process of the company that `root` names, ready."""
    settings = worker.Settings(place.postgres_dsn, place.nats_url, place.nats_token, root, alone, cache_bytes)
    async with child("tests.benchmarks.runtime.worker", settings) as running:
        await running.hear()
        yield running


@asynccontextmanager
async def asking(place: Place, root: str) -> AsyncGenerator[Child]:
    """The process that asks that company."""
    async with child("tests.benchmarks.runtime.asks", asks.Connection(place.nats_url, place.nats_token, root)) as asker:
        yield asker


async def warm(asker: Child, actors: int, first: int = 0) -> asks.Asked:
    """Have each of those actors answer once: it is in memory then, as those are whom somebody works with."""
    return await asker.ask(asks.Asks(WARM_IN_FLIGHT, 0, actors, first, times=actors), asks.Asked)


@asynccontextmanager
async def several(place: Place, root: str, workers: int) -> AsyncGenerator[list[Child]]:
    """So many worker processes that share the partitions evenly."""
    async with AsyncExitStack() as stack:
        children = [await stack.enter_async_context(hosting(place, root, alone=False)) for _ in range(workers)]
        await shared_out(place, root, workers)
        yield children


async def shared_out(place: Place, root: str, workers: int) -> None:
    """Wait until the partitions are spread evenly over so many."""
    async with PostgresStore.open(place.postgres_dsn, root, prepare=False) as store:
        with anyio.fail_after(SHARED_OUT_S_MAX):
            while True:
                roster = await store.workers.roster()
                counts = [sum(h.owner == w.id and h.expires_in_s > 0 for h in roster.holdings) for w in roster.workers]
                if len(counts) == workers and sum(counts) == PARTITIONS and max(counts) - min(counts) <= 1:
                    return
                await anyio.sleep(LOOK_EVERY_S)
