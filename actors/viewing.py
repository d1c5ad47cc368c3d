"""Keeps a company's views: one of its processes folds the log into them, and another goes on when that one ends."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

import anyio

from actors.runtime.leading import Leader
from eventstore.postgres.store import PostgresStore
from projections.projector import Projector
from projections.queries import VIEWS
from projections.ranges import in_ranges

LEASE = "views"


@asynccontextmanager
async def views_kept(store: PostgresStore, keeper: Path | None = None) -> AsyncGenerator[Projector]:
    """Have the views folded inside the block, by this process or by another one of the company. `keeper`: the folder
    whose lock this process holds, so that it goes on at once after a kill."""
    projector = Projector(store, store.pool, VIEWS, build=in_ranges(store))
    owner = None if keeper is None else owner_of(keeper)
    async with anyio.create_task_group() as group:
        group.start_soon(Leader(store.leases, LEASE, projector.run, owner=owner).run)
        try:
            yield projector
        finally:
            group.cancel_scope.cancel()


def owner_of(folder: Path) -> UUID:
    """Who keeps the company of that folder: the same one before and after a kill."""
    return uuid5(NAMESPACE_URL, f"file://{socket.gethostname()}{folder}")
