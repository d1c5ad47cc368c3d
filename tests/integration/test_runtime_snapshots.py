"""Snapshots that a running process keeps: of an actor that lives, and at a clean stop."""

from collections.abc import AsyncGenerator

import anyio
import pytest

from actors.embedded.servers import Servers
from actors.runtime.activation import SNAPSHOT_AT_REST_EVENTS
from actors.runtime.folding import SNAPSHOT_EVERY_EVENTS
from protocol.subjects import Address
from tests.kit.company import PATIENCE_S, Company, at
from tests.kit.company import company as open_company
from tests.kit.counting import COUNTER, Add

BUSY, QUIET, NEW = at("counter", "busy"), at("counter", "quiet"), at("counter", "new")


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with open_company(servers, database) as opened:
        yield opened


async def version_kept(office: Company, address: Address) -> int:
    found = await office.store.snapshots.get(address, COUNTER.state_schema)
    return found.version if found else 0


async def test_snapshots_are_kept_while_an_actor_lives_and_at_a_clean_stop(office: Company) -> None:
    async with office.runs():
        for _ in range(SNAPSHOT_EVERY_EVENTS + 10):
            await office.asker.publish(BUSY, Add())
        for _ in range(SNAPSHOT_AT_REST_EVENTS + 10):
            await office.asker.publish(QUIET, Add())
        await office.asker.publish(NEW, Add())
        await office.events(BUSY, SNAPSHOT_EVERY_EVENTS + 10)
        with anyio.fail_after(PATIENCE_S):
            while not await version_kept(office, BUSY):
                await anyio.sleep(0.01)  # It is kept beside the work, and rings no bell.
        await office.events(QUIET, SNAPSHOT_AT_REST_EVENTS + 10)
        await office.events(NEW, 1)
        assert SNAPSHOT_EVERY_EVENTS <= await version_kept(office, BUSY) <= SNAPSHOT_EVERY_EVENTS + 10
        assert await version_kept(office, QUIET) == 0
    assert await version_kept(office, QUIET) == SNAPSHOT_AT_REST_EVENTS + 10, "a clean stop leaves it"
    assert await version_kept(office, NEW) == 0, "one event is not worth it"
    async with office.runs():
        reply = await office.asker.ask(QUIET, Add(3))
    assert reply.events == (QUIET.reference(SNAPSHOT_AT_REST_EVENTS + 11),)
