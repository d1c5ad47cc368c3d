"""What every test may ask for. Nothing is started for tests that do not ask."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from actors.embedded.servers import Servers
from tests.kit.servers import drop_database, fresh_database, session_servers


@pytest_asyncio.fixture(scope="session")
async def servers() -> AsyncGenerator[Servers]:
    """A real PostgreSQL and a real nats-server, shared by the whole run."""
    async with session_servers() as started:
        yield started


@pytest_asyncio.fixture
async def database(servers: Servers) -> AsyncGenerator[str]:
    """The DSN of an empty database of this test's own."""
    dsn = await fresh_database(servers)
    yield dsn
    await drop_database(servers, dsn)
