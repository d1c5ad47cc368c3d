"""What tests of the views share: feeding the log, reading every row, folding anew, and running projectors."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

import anyio

from eventstore.blobs import Blobs
from eventstore.postgres.store import PostgresStore
from eventstore.store import Recorded, Selection, StreamInfo
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from projections.view import View
from protocol.subjects import Address
from tests.kit.board_run import Happened

NEWER = 1 + max(view.version for view in VIEWS)  # Than any view's version.
SIGNAL_S = 20.0  # How long a test waits for something that must happen.


def at_version(view: View, version: int) -> View:
    """The view, its rows as they are, at another version."""
    return replace(view, version=version)


async def append(store: PostgresStore, run: Sequence[Happened]) -> int:
    for happened in run:
        await store.append(happened.address, [happened.new()])
    return await store.head()


async def rows(store: PostgresStore, views: Sequence[View] = VIEWS) -> dict[str, list[str]]:
    """Every row of the views, by table, as text, in an order of its own."""
    tables = [table.name for view in views for table in view.tables]
    return {
        table: sorted(str(dict(row)) for row in await store.pool.fetch(f"select * from {table}")) for table in tables
    }


async def rebuilt(store: PostgresStore, views: Sequence[View] = VIEWS, version: int = NEWER) -> dict[str, list[str]]:
    """The rows of the same views folded from the beginning."""
    await Projector(store, store.pool, [at_version(view, version) for view in views]).catch_up()
    return await rows(store, views)


async def standing(store: PostgresStore) -> dict[str, int]:
    return {row.name: row.position for row in await Queries(store, store.pool).views()}


@asynccontextmanager
async def running(*projectors: Projector) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as group:
        for projector in projectors:
            group.start_soon(projector.run)
        yield
        group.cancel_scope.cancel()


class Gate:
    """The log, which holds its reader up after `pages` reads until `open` is set; `reached` says it has come."""

    def __init__(self, log: PostgresStore, pages: int) -> None:
        self._log = log
        self._pages = pages
        self.reached = anyio.Event()
        self.open = anyio.Event()

    async def read(
        self,
        after: int,
        limit: int = 500,
        upto: int | None = None,
        selection: Selection | None = None,
        backward: bool = False,
    ) -> list[Recorded]:
        if self._pages == 0:
            self.reached.set()
            await self.open.wait()
        self._pages -= 1
        return await self._log.read(after, limit, upto, selection, backward)

    async def head(self) -> int:
        return await self._log.head()

    async def read_stream(
        self, address: Address, after: int = 0, limit: int = 500, upto: int | None = None, backward: bool = False
    ) -> list[Recorded]:
        return await self._log.read_stream(address, after, limit, upto, backward)

    async def stream(self, address: Address) -> StreamInfo:
        return await self._log.stream(address)

    async def streams(
        self, after: int = 0, limit: int = 500, project: str | None = None, kind: str | None = None
    ) -> list[StreamInfo]:
        return await self._log.streams(after, limit, project, kind)

    async def position_before(self, at: datetime) -> int:
        return await self._log.position_before(at)

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        return await self._log.wait_beyond(position, timeout_s)

    @property
    def blobs(self) -> Blobs:
        return self._log.blobs
