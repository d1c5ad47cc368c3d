"""Everything that may die does, under load: lost 0, applied twice 0, out of order 0."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import anyio
import asyncpg
import pytest

from protocol.reply import Reply
from protocol.subjects import PARTITIONS
from tests.kit.company import PATIENCE_S, Company, accepted, at, company, fresh_root
from tests.kit.counting import Add, Serve
from tests.kit.servers import drop_database, fresh_database
from tests.kit.stack import Stack

COUNTERS = 5
ADDS = 400  # By ASKERS at once, so that many are under way at every moment.
ASKERS = 16
RALLIES = 40  # Each pair of players keeps so many balls in the air.

Fault = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
async def office(stack: Stack) -> AsyncGenerator[Company]:
    dsn = await fresh_database(stack.servers)
    async with company(stack.servers, dsn, fresh_root()) as opened:
        yield opened
    await drop_database(stack.servers, dsn)


class Load:
    """Insistent askers and two players; `after(n, fault)` strikes when `n` commands have been answered."""

    def __init__(self, office: Company) -> None:
        self.office = office
        self.replies: list[Reply] = []
        self._faults: list[tuple[int, Fault]] = []
        self._next = iter(range(ADDS))
        self.struck = 0
        self.answered_before = 0  # When the first fault had struck.

    def after(self, count: int, fault: Fault) -> "Load":
        self._faults.append((count, fault))
        return self

    async def run(self) -> None:
        """Until everything is answered and every ball has come to rest."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.office.asker.insist, at("player", "p1"), Serve("p2", RALLIES), "serve")
            for _ in range(ASKERS):
                group.start_soon(self._ask, group)
        await self.office.quiet()

    async def _ask(self, group: anyio.abc.TaskGroup) -> None:
        for n in self._next:
            reply = await self.office.asker.insist(at("counter", f"c{n % COUNTERS}"), Add(1), f"k{n}")
            self.replies.append(reply)
            for count, fault in self._faults:
                if len(self.replies) == count:
                    group.start_soon(self._strike, fault)

    async def _strike(self, fault: Fault) -> None:
        await fault()
        self.struck += 1
        self.answered_before = self.answered_before or len(self.replies)

    async def check(self) -> None:
        """What must hold whatever happened."""
        office = self.office
        assert self.struck == len(self._faults)
        assert self.answered_before < ADDS, "the fault came when all was over"
        assert sorted(accepted(self.replies)) == sorted(f"k{n}" for n in range(ADDS))
        await office.check_log()
        await office.check_counters([f"k{n}" for n in range(ADDS)])
        for player in ("p1", "p2"):
            hits = [json.loads(event.body) for event in await office.events(at("player", player))]
            for gone in range(RALLIES):
                # Balls that have been played `gone` times: each once, in the order in which they were served.
                played = [hit["n"] for hit in hits if hit["n"] - hit["rallies"] == gone]
                served_here = (gone % 2 == 0) == (player == "p1")
                assert played == (list(range(max(gone, 1), RALLIES + 1)) if served_here else [])
        await office.check_settled()


async def test_nothing_happens_to_a_load_that_nothing_happens_to(office: Company) -> None:
    load = Load(office)
    async with office.runs():
        await load.run()
    await load.check()


async def test_a_process_that_is_cut_off_at_any_moment_goes_on_where_the_log_ends(office: Company) -> None:
    """Cancelled without a word, several times, while commits are under way."""
    load, lives = Load(office), [anyio.CancelScope() for _ in range(4)]

    async def live() -> None:
        for life in lives:
            with life:
                async with office.runs():
                    await anyio.sleep_forever()

    for n, life in enumerate(lives[:3], start=1):

        async def cut(life: anyio.CancelScope = life) -> None:
            life.cancel()

        load.after(ADDS * n // 4, cut)
    async with anyio.create_task_group() as group:
        group.start_soon(live)
        await load.run()
        lives[3].cancel()
    await load.check()


async def test_a_process_that_is_replaced_while_it_lives_writes_nothing_it_no_longer_owns(office: Company) -> None:
    """All its leases are taken from it by force, in the middle of its commits; from then on the two share."""
    load, replaced = Load(office), anyio.Event()

    async def take_over() -> None:
        replaced.set()

    load.after(ADDS // 3, take_over)
    async with office.runs() as old, anyio.create_task_group() as group:
        group.start_soon(load.run)
        with anyio.fail_after(3 * PATIENCE_S):
            await replaced.wait()
            async with office.runs() as new:
                assert len(new.ownership.held) == PARTITIONS
                while len(load.replies) < ADDS or len(old.ownership.held) < PARTITIONS // 2:
                    await office.store.wait_beyond(await office.store.head(), 0.1)
                await office.quiet()
    await load.check()


async def test_a_killed_broker_delays_and_loses_nothing(office: Company, stack: Stack) -> None:
    load = Load(office)
    for n in (1, 2):
        load.after(ADDS * n // 3, lambda: stack.restart("nats"))
    async with office.runs():
        await load.run()
    await load.check()


async def test_a_broker_that_comes_back_empty_delays_and_loses_nothing(office: Company, stack: Stack) -> None:
    """Sequences begin again, the witness shows it, what was settled is known, and the outbox is in the store."""
    load = Load(office)
    for n in (1, 2):
        load.after(ADDS * n // 3, stack.lose_jetstream)
    async with office.runs():
        await load.run()
    await load.check()


async def test_a_broker_that_comes_back_empty_between_two_runs_is_noticed(office: Company, stack: Stack) -> None:
    """The new stream is longer than the old one was: only the witness can tell them apart."""
    c1 = at("counter", "c1")
    async with office.runs():
        for n in range(3):
            assert (await office.asker.ask(c1, Add(), f"old{n}")).outcome == "accepted"
    await stack.lose_jetstream()
    await office.reconnected()
    for n in range(10):
        await office.asker.publish(c1, Add(), f"new{n}")
        await office.asker.publish(c1, Add(), f"old{n % 3}")
    async with office.runs():
        with anyio.fail_after(PATIENCE_S):
            assert [(await office.asker.heard(f"new{n}")).outcome for n in range(10)] == ["accepted"] * 10
            assert all([(await office.asker.heard(f"old{n % 3}", 1 + n // 3)).known for n in range(10)])
    await office.check_counters([f"old{n}" for n in range(3)] + [f"new{n}" for n in range(10)])
    await office.check_settled()


async def test_a_purge_below_the_cursor_of_a_lost_stream_takes_nothing_of_the_new_one(
    office: Company, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeper must not purge by a cursor that speaks of another stream, however often it comes by."""
    monkeypatch.setattr("actors.runtime.services.SWEEP_EVERY_S", 0.01)
    monkeypatch.setattr("actors.runtime.services.PURGE_EVERY_SWEEPS", 1)
    monkeypatch.setattr("actors.runtime.commit.ADVANCE_EVERY_S", 0.05)
    load = Load(office).after(ADDS // 2, stack.lose_jetstream)
    async with office.runs():
        await load.run()
    await load.check()


async def test_connections_to_the_store_that_die_all_the_time(office: Company, stack: Stack) -> None:
    load, done = Load(office), anyio.Event()
    database = urlsplit(office.database).path[1:]

    async def terminate() -> None:
        outside = await asyncpg.connect(stack.servers.postgres_dsn)
        try:
            while not done.is_set():
                await outside.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", database
                )
                with anyio.move_on_after(0.08):
                    await done.wait()
        finally:
            await outside.close()

    async with office.runs(), anyio.create_task_group() as group:

        async def stop() -> None:
            done.set()

        load.after(5, lambda: _started(group, terminate)).after(ADDS * 2 // 3, stop)
        await load.run()
    await load.check()


async def test_a_killed_store_delays_and_loses_nothing(office: Company, stack: Stack) -> None:
    load = Load(office).after(ADDS // 3, lambda: stack.restart("postgres"))
    async with office.runs():
        await load.run()
    await load.check()


async def test_both_servers_killed_at_once(office: Company, stack: Stack) -> None:
    async def both() -> None:
        stack.kill("postgres")
        await stack.restart("nats")

    load = Load(office).after(ADDS // 3, both)
    async with office.runs():
        await load.run()
    await load.check()


async def test_bytes_that_no_client_would_send_silence_nobody(office: Company, stack: Stack) -> None:
    """The server lets a raw connection publish subjects that are no text and headers that are none."""
    subject = f"{office.bus.root}.cmd.demo.counter.".encode()
    reader, writer = await asyncio.open_connection(*stack.servers.nats_url.removeprefix("nats://").split(":"))
    token = {"auth_token": stack.servers.nats_token, "headers": True, "verbose": True}
    writer.write(b"CONNECT " + json.dumps(token).encode() + b"\r\n")
    for name in (b"a\xff\xfeb", b"a\x01b"):
        writer.write(b"PUB " + subject + name + b" 2\r\nhi\r\n")
    for headers in (
        b"x\r\n\r\n",
        b"garbage\r\n\r\n",
        b"NATS/1.0 \xff\xff\xff\r\n\r\n",
        b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: many\r\n\r\n",
        b"NATS/1.0\r\nce-id: a\x00b\xff\r\nno colon\r\n: no name\r\nStatus: 409\r\n\r\n",
    ):
        writer.write(b"HPUB %sc1 %d %d\r\n%shi\r\n" % (subject, len(headers), len(headers) + 2, headers))
    writer.write(b"PING\r\n")
    async with office.runs():
        with anyio.fail_after(PATIENCE_S):
            while await reader.readline() != b"PONG\r\n":
                pass
        assert (await office.asker.ask(at("counter", "c1"), Add(), "k1")).outcome == "accepted"
    writer.close()
    assert len(await office.sql("select id from inbox where outcome = 'refused'")) == 5
    await office.check_counters(["k1"])


async def _started(group: anyio.abc.TaskGroup, work: Fault) -> None:
    group.start_soon(work)
