"""Several processes of one company on real servers: they share the partitions, and nothing is lost when one comes or
goes in the middle of the work."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from actors.embedded.servers import Servers
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.supervisor import Runtime, running
from eventstore.postgres.store import PostgresStore
from protocol.reply import Reply
from protocol.subjects import PARTITIONS
from tests.kit.company import PATIENCE_S, STREAM_BYTES_MAX, Company, accepted, at, company
from tests.kit.counting import KINDS, Add, Serve

COUNTERS = 40


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with company(servers, database) as opened:
        yield opened


@asynccontextmanager
async def process(office: Company, servers: Servers, alone: bool = False) -> AsyncGenerator[Runtime]:
    """One more process of that company, with connections of its own."""
    async with (
        PostgresStore.open(office.database) as store,
        NatsBus.open(servers.nats_url, servers.nats_token, office.bus.root, stream_bytes_max=STREAM_BYTES_MAX) as bus,
        running(store, bus, KINDS, {}, utc_now, alone) as runtime,
    ):
        yield runtime


async def shared(*processes: Runtime) -> None:
    """Wait until each has its share."""
    with anyio.fail_after(PATIENCE_S):
        while sorted(len(p.ownership.held) for p in processes) != sorted(
            PARTITIONS // len(processes) + (n < PARTITIONS % len(processes)) for n in range(len(processes))
        ):
            await anyio.sleep(0.005)


async def settled(office: Company) -> None:
    """Wait until nothing is open above the cursors: an insistent asker's last repetitions may still be on their way."""
    with anyio.fail_after(PATIENCE_S):
        while True:
            try:
                await office.check_settled()
                return
            except AssertionError:
                await anyio.sleep(0.1)


class Load:
    """Askers who never rest, each to a counter of its own and with one command under way."""

    def __init__(self, office: Company) -> None:
        self._office = office
        self.replies: list[Reply] = []
        self.ended = False

    async def ask(self, number: int) -> None:
        n = 0
        while not self.ended:
            n += 1
            self.replies.append(await self._office.asker.insist(at("counter", f"c{number}"), Add(n), f"a{number}-{n}"))


async def test_processes_come_and_go_under_load_and_no_command_is_lost_or_refused(
    office: Company, servers: Servers
) -> None:
    load = Load(office)
    async with process(office, servers, alone=True) as first:
        async with anyio.create_task_group() as group:
            for number in range(COUNTERS):
                group.start_soon(load.ask, number)
            async with process(office, servers) as second:
                await shared(first, second)
                async with process(office, servers) as third:
                    await shared(first, second, third)
                    heard = len(load.replies)
                await shared(first, second)
                while len(load.replies) < heard + 5 * COUNTERS:
                    await anyio.sleep(0.01)
            await shared(first)
            load.ended = True
        await office.quiet()
        await settled(office)
    assert {reply.outcome for reply in load.replies} == {"accepted"}
    await office.check_log()
    await office.check_counters(accepted(load.replies))
    for number in range(COUNTERS):
        bodies = await office.bodies(at("counter", f"c{number}"), "n")
        assert bodies == list(range(1, len(bodies) + 1)), "in the order in which they were asked"
    await office.check_settled()


async def test_sends_go_between_actors_of_different_processes_in_their_order(office: Company, servers: Servers) -> None:
    async with process(office, servers) as first, process(office, servers) as second:
        await shared(first, second)
        for n in range(8):
            reply = await office.asker.ask(at("player", f"p{n}"), Serve(f"q{n}", 20))
            assert reply.outcome == "accepted"
        for n in range(8):
            balls = await office.bodies(at("player", f"q{n}"), "n", count=20)
            assert balls[:20] == sorted(balls[:20])
        await office.quiet()
    await office.check_log()
    await office.check_settled()
