"""Servers that only the tests of faults may touch."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from tests.kit.stack import Stack, own_stack


@pytest_asyncio.fixture(scope="session")
async def stack() -> AsyncGenerator[Stack]:
    """A PostgreSQL and a nats-server to kill. Every test leaves them running."""
    async with own_stack() as started:
        yield started
