"""A client that freezes stalls nobody: its commit is one call, which the server ends without it; a lock that somebody
does hold is waited for in bounded time, and the error names the holder."""

import os
import random
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE
from typing import TypeAlias

import anyio
import anyio.abc
import asyncpg
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from eventstore.postgres.connections import COMMIT_TIMEOUT_MS, LOCK_TIMEOUT_MS
from eventstore.postgres.store import PostgresStore
from eventstore.reading import stream_events
from eventstore.store import LogLocked
from protocol.subjects import Address
from tests.kit.long_mode import rounds
from tests.kit.units import actor, event

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

FREEZES = rounds(usual=8, long=300)
APPENDS = 5  # Of the others, while it is frozen.
MARGIN_S = 20.0  # Of a busy machine, beyond what the server bounds.
# What another writer's call may take at most: it waits for the lock, and for the commit before it.
CALL_S_MAX = (COMMIT_TIMEOUT_MS + LOCK_TIMEOUT_MS) / 1000
SEED = 7


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


@pytest.fixture
async def outside(store: PostgresStore, database: str) -> AsyncIterator[Session]:
    connection: Session = await asyncpg.connect(database, server_settings={"search_path": "troupe, public"})
    try:
        yield connection
    finally:
        connection.terminate()


class Child:
    """Another process on the same log."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdout is not None
        self.process = process
        self.told: list[tuple[int, int]] = []
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def line(self) -> tuple[int, int]:
        """The next it says: a count and a position."""
        with anyio.fail_after(MARGIN_S):
            first, second = (await self._lines.receive_until(b"\n", 100)).split()
        self.told.append((int(first), int(second)))
        return self.told[-1]

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@asynccontextmanager
async def child(dsn: str, *arguments: str) -> AsyncGenerator[Child]:
    command = [sys.executable, "-P", "-m", "tests.kit.child_writer", dsn, "child", *arguments]
    async with await anyio.open_process(command, stdout=PIPE, stderr=None) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


async def others_go_on(store: PostgresStore, n: int) -> None:
    address = actor(f"other{n}", kind="note")
    with anyio.fail_after(CALL_S_MAX + MARGIN_S):
        for version in range(APPENDS):
            await store.append(address, [event(version)], version)


async def test_a_writer_frozen_at_any_moment_stalls_nobody_and_goes_on(store: PostgresStore, database: str) -> None:
    rng = random.Random(SEED)
    async with child(database) as writer:
        for n in range(FREEZES):
            for _ in range(rng.randrange(1, 6)):
                await writer.line()
            await anyio.sleep(rng.random() / 500)  # Some way into its next append: the moment is what is tried here.
            writer.freeze()
            await others_go_on(store, n)
            writer.thaw()
        count, _ = await writer.line()
    stream = [row async for row in stream_events(store, Address("demo", "note", "child"))]
    assert [row.version for row in stream][:count] == list(range(1, count + 1))
    assert [(row.version, row.position) for row in stream[:count]] == writer.told


async def test_a_commit_in_flight_ends_while_its_client_is_frozen(
    store: PostgresStore, outside: Session, database: str
) -> None:
    async with child(database) as writer:
        count, _ = await writer.line()
        async with outside.transaction():
            await outside.execute("select lock_log()")
            await _waits_for_the_log(outside)
            writer.freeze()
        await others_go_on(store, 0)
        there = await store.read_stream(Address("demo", "note", "child"), after=count)
        assert there, "the server ended the frozen client's commit"
        writer.thaw()
        assert (await writer.line())[0] > count


async def test_a_lock_that_is_held_is_waited_for_in_bounds_and_the_error_names_the_holder(
    store: PostgresStore, outside: Session, database: str
) -> None:
    async with child(database, "hold") as holder:
        pid, _ = await holder.line()
        holder.freeze()
        with anyio.fail_after(CALL_S_MAX + MARGIN_S), pytest.raises(LogLocked) as caught:
            await store.append(actor(kind="note"), [event()], 0)
        assert f"{pid}" in str(caught.value)
        assert "careless" in str(caught.value)
        assert await outside.fetchval("select pg_terminate_backend($1, 10000)", pid)
        assert await store.append(actor(kind="note"), [event()], 0) == 1


async def test_a_client_that_does_not_read_the_answer_of_its_commit_holds_the_log_for_a_bounded_time(
    store: PostgresStore, outside: Session, database: str
) -> None:
    """Rows are sent before the server commits, and a server that waits for a full socket hears no time-out."""
    async with child(database, "flood") as reader:
        pid, _ = await reader.line()
        with anyio.fail_after(MARGIN_S):
            while not await outside.fetchval(
                "select count(*) from pg_stat_activity where pid = $1 and wait_event = 'ClientWrite'", pid
            ):
                await anyio.sleep(0.005)
        said: list[str] = []
        with anyio.fail_after(MARGIN_S):
            while True:
                try:
                    assert await store.append(actor(kind="note"), [event()], 0) == 1
                    break
                except LogLocked as locked:
                    said.append(str(locked))
        assert all(f"process {pid} " in each for each in said), "it is named while it lasts"


async def _waits_for_the_log(outside: Session) -> None:
    with anyio.fail_after(MARGIN_S):
        while not await outside.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"
        ):
            await anyio.sleep(0.005)
