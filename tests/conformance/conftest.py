"""Every adapter of a port, behind one fixture."""

from collections.abc import AsyncIterator

import pytest

from eventstore.memory.store import MemoryStore
from eventstore.postgres.store import PostgresStore
from eventstore.store import EventStore
from tests.kit.units import Owner


@pytest.fixture(params=["memory", "postgres"])
def store_dsn(request: pytest.FixtureRequest) -> str:
    """ "" for the memory adapter, which needs no server."""
    return "" if request.param == "memory" else request.getfixturevalue("database")


@pytest.fixture
async def store(store_dsn: str) -> AsyncIterator[EventStore]:
    if not store_dsn:
        yield MemoryStore()
        return
    async with PostgresStore.open(store_dsn) as opened:
        yield opened


@pytest.fixture
async def owner(store: EventStore) -> Owner:
    """Holds the partitions 0 and 1."""
    return await Owner.of(store, 0, 1)
