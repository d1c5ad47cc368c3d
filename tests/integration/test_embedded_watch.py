"""The watch over a company's servers: what died is started again, and a broker that stores nothing as well."""

import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from actors.embedded import watch
from actors.embedded.folder import StateFolder
from actors.embedded.records import read_records
from actors.embedded.servers import Servers, start_servers, stop_servers
from actors.runtime.nats_bus import NatsBus
from tests.kit.company import own_bus

WANT = ("nats",)
PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WATCH_EVERY_S", 0.05)


@asynccontextmanager
async def watched(refusal: Callable[[], Awaitable[str]]) -> AsyncGenerator[StateFolder]:
    with StateFolder.ephemeral() as folder:
        try:
            await start_servers(folder, want=WANT)
            async with anyio.create_task_group() as group:
                group.start_soon(watch.watch, folder, WANT, refusal)
                yield folder
                group.cancel_scope.cancel()
        finally:
            await stop_servers(folder, WANT)


def pid(folder: StateFolder) -> int:
    found = read_records(folder)["nats"].pid
    assert found is not None
    return found


async def replaced(folder: StateFolder, before: int) -> None:
    """Another server runs, and answers."""
    with anyio.fail_after(PATIENCE_S):
        while read_records(folder)["nats"].pid in (None, before):
            await anyio.sleep(0.02)
    addresses = await start_servers(folder, want=WANT)
    async with NatsBus.open(addresses.nats_url, addresses.nats_token) as bus:
        assert await bus.refusal() == ""


async def test_a_server_that_died_is_started_again() -> None:
    async def stores() -> str:
        return ""

    async with watched(stores) as folder:
        before = pid(folder)
        os.kill(before, signal.SIGKILL)
        await replaced(folder, before)


async def test_after_a_full_disk_a_broker_that_stores_nothing_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is the moment to ask; while it lasts nothing is done."""
    asked, looks, full = 0, 0, True
    seen = anyio.Event()

    def disk_full(_: StateFolder) -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            seen.set()
        return full

    monkeypatch.setattr(watch, "disk_full", disk_full)

    async def refuses_once() -> str:
        nonlocal asked
        asked += 1
        return "it is deaf" if asked == 1 else ""

    async with watched(refuses_once) as folder:
        before = pid(folder)
        with anyio.fail_after(PATIENCE_S):
            await seen.wait()
        assert (asked, pid(folder)) == (0, before)
        full = False
        await replaced(folder, before)
        assert asked == 1


async def test_a_broker_that_stores_is_left_alone_and_asked_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PROBE_EVERY_S", 0.0)
    asked = anyio.Semaphore(0)

    async def stores() -> str:
        asked.release()
        return ""

    async with watched(stores) as folder:
        before = pid(folder)
        with anyio.fail_after(PATIENCE_S):
            for _ in range(3):
                await asked.acquire()
        assert pid(folder) == before


async def test_what_the_bus_is_told_by_a_full_or_absent_stream(servers: Servers) -> None:
    async with own_bus(servers, stream_bytes_max=2_000) as bus:
        assert await bus.refusal() == ""
        for _ in range(40):
            assert await bus.refusal() == "", "a stream full by its own limits is not deaf"
        await bus.client.jetstream().delete_stream(bus.stream)
        assert bus.stream in await bus.refusal()
        await bus.ensure_stream()  # For the one that cleans up.
