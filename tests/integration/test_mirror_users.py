"""On a shared server with the users of deploy/nats/mirror.conf only the mirror publishes events."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client

from actors.embedded.account import server_account
from actors.embedded.ports import LOOPBACK, free_port, is_free
from actors.embedded.programs import usable_programs
from actors.runtime.mirror import Mirror
from actors.runtime.nats_bus import STREAM_BYTES_MAX, NatsBus, utc_now
from actors.runtime.nats_mirror import NatsEvents
from eventstore.memory.store import MemoryStore
from protocol.subjects import ROOT, command_subject
from tests.kit.company import PATIENCE_S
from tests.kit.mirrors import WIDE, grow
from tests.kit.units import actor

SETTINGS = Path(__file__).parents[2] / "deploy" / "nats" / "mirror.conf"
PASSWORDS = {"COMPANY_PASSWORD": "p-company", "MIRROR_PASSWORD": "p-mirror", "READER_PASSWORD": "p-reader"}


@asynccontextmanager
async def shared_server(folder: Path) -> AsyncGenerator[int]:
    """A nats-server with those users; its port."""
    port = free_port()
    settings = folder / "server.conf"
    (folder / "mirror.conf").write_text(SETTINGS.read_text("utf-8"), "utf-8")
    store = folder / "store"
    settings.write_text(
        f'listen: "{LOOPBACK}:{port}"\njetstream {{ store_dir: "{store}" }}\ninclude "mirror.conf"\n', "utf-8"
    )
    program = (await usable_programs(server_account())).nats_server
    environment = os.environ | PASSWORDS
    async with await anyio.open_process([program, "--config", settings], env=environment, stderr=None) as server:
        try:
            with anyio.fail_after(PATIENCE_S):
                while is_free(port):
                    await anyio.sleep(0.01)  # It is only starting.
            yield port
        finally:
            server.terminate()
            await server.wait()


@pytest.fixture
async def port(tmp_path: Path) -> AsyncGenerator[int]:
    async with shared_server(tmp_path) as listening:
        yield listening


def url(user: str, port: int) -> str:
    return f"nats://{user}:{PASSWORDS[f'{user.upper()}_PASSWORD']}@{LOOPBACK}:{port}"


@asynccontextmanager
async def connected(user: str, port: int) -> AsyncGenerator[tuple[Client, list[str]]]:
    """A client of that user, and what the server said to it."""
    said: list[str] = []

    async def note(error: Exception) -> None:
        said.append(str(error))

    client = await nats.connect(url(user, port), error_cb=note, allow_reconnect=False)
    yield client, said
    await client.close()


async def test_only_the_mirror_publishes_events_and_readers_read_them(port: int) -> None:
    store = MemoryStore()
    await grow(store, 12)
    async with connected("company", port) as (company, said), connected("reader", port) as (reader, heard):
        async with anyio.create_task_group() as group:
            mirror = Mirror(
                store, lambda: NatsEvents.open(url("mirror", port), "", ROOT, WIDE), ROOT, WIDE, utc_now
            )  # fmt: skip
            group.start_soon(mirror.run)
            follower = await reader.subscribe("troupe.evt.>")
            await reader.flush()
            with anyio.fail_after(PATIENCE_S):
                while await last_sequence(reader) < 12:
                    await anyio.sleep(0.01)
            await company.publish("troupe.evt.demo.task.m1.noted-v1", b"forged")
            await reader.publish("troupe.evt.demo.task.m1.noted-v1", b"forged")
            await reader.publish(command_subject(actor("m1")), b"{}")
            with anyio.fail_after(PATIENCE_S):
                while not said or len(heard) < 2:
                    await company.flush()
                    await reader.flush()
            await grow(store, 1)
            with anyio.fail_after(PATIENCE_S):
                while (message := await follower.next_msg(PATIENCE_S)).headers is None or (
                    message.headers["ce-id"] != "task/m1@13"
                ):
                    assert message.data != b"forged"
            assert await last_sequence(reader) == 13
            with pytest.raises((nats.errors.Error, nats.js.errors.Error, TimeoutError)):
                await company.jetstream(timeout=0.3).delete_stream("EVENTS")
            assert await last_sequence(reader) == 13
            group.cancel_scope.cancel()
        assert all("permissions" in words.lower() for words in (*said, *heard)), (said, heard)


async def test_a_company_of_that_user_can_do_all_it_needs(port: int) -> None:
    async with connected("company", port):
        pass
    async with NatsBus.open(url("company", port), "", ROOT, STREAM_BYTES_MAX) as bus:
        await bus.client.jetstream().publish(command_subject(actor("m1")), b"{}")
        feed = await bus.open_feed(0)
        with anyio.fail_after(PATIENCE_S):
            (message,) = await feed.next()
        assert await bus.witness_at(1) == message.witness(bus.stream)
        await bus.purge_below(1)
        await feed.close()


async def last_sequence(client: Client) -> int:
    try:
        return (await client.jetstream(timeout=2.0).stream_info("EVENTS")).state.last_seq
    except nats.js.errors.NotFoundError:
        return -1
