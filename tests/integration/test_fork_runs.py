"""A fork run on by a real company: it goes the original's way with what is recorded, its own where it is changed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import nats.js.errors
import pytest

from actors.embedded.servers import Servers
from actors.runtime.compare import Compare
from actors.runtime.kind import EffectCall, Performer
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.record import NOTHING_RECORDED
from actors.runtime.reenact import reenact
from actors.runtime.supervisor import running
from eventstore.postgres.store import PostgresStore
from eventstore.store import EventStore
from protocol.message import Command
from tests.kit.company import PATIENCE_S, Asker, Company, asker, at, company, fresh_root, own_bus
from tests.kit.counting import KINDS, Add, Begin, Forget, Job, Report, Serve

WORKERS = [at("worker", f"w{n}") for n in range(4)]


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with company(servers, database) as opened:
        yield opened


def performer(done: list[str]) -> dict[str, Performer]:
    """Does jobs and notes which."""

    async def perform(call: EffectCall, work: Job) -> Command:
        done.append(f"{call.address.name}:{work.job}")
        return Report(work.job, f"done for {call.address.name}")

    def give_up(_: EffectCall, work: Job, error: str) -> Command:
        return Report(work.job, f"gave up: {error}")

    return {"job": Performer("job", Job, perform, give_up, concurrent_max=4, attempts_max=2, timeout_s=PATIENCE_S)}


@asynccontextmanager
async def run_on(
    servers: Servers, database: str, name: str, done: list[str]
) -> AsyncGenerator[tuple[PostgresStore, Asker]]:
    """A company on the fork, with a road of its own."""
    async with (
        PostgresStore.open(database, name, must_exist=True) as fork,
        own_bus(servers) as bus,
        asker(servers, bus) as somebody,
    ):
        await fork.forks.resume()
        this = await fork.forks.this()
        assert this is not None
        async with running(fork, bus, KINDS, performer(done), utc_now, alone=True, fork=this):
            yield fork, somebody


async def make(store: EventStore, position: int, name: str, live: bool = False) -> None:
    async with store.forks.creating(position, name, live) as draft:
        await reenact(draft, KINDS)


async def whole_run(office: Company, done: list[str]) -> int:
    """Players, workers and reminders at once, to their end; where the last command from outside was accepted."""
    async with office.runs(performer(done)):
        begun = [
            (await office.asker.ask(worker, Begin(f"job{n}"), f"b{n}-{worker.name}")).position
            for n in range(3)
            for worker in WORKERS
        ]
        reminders = [(await office.asker.ask(worker, Begin("later", 0.4), f"r-{worker.name}")) for worker in WORKERS]
        served = await office.asker.ask(at("player", "p1"), Serve("p2", 12), "serve")
        for worker in WORKERS:
            await office.events(worker, 8)
        for player, hits in (("p1", 48), ("p2", 42)):
            await office.events(at("player", player), hits)
        await office.quiet()
    # Where the last of these commands had all its events.
    return max(*begun, served.position + len(served.events) - 1, *(reply.position for reply in reminders))


async def histories(store: EventStore) -> dict[str, list[tuple[str, bytes]]]:
    found: dict[str, list[tuple[str, bytes]]] = {}
    for row in await store.read(0):
        found.setdefault(str(row.address), []).append((row.type, row.body))
    return found


async def becomes(store: EventStore, wanted: dict[str, list[tuple[str, bytes]]]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while (found := await histories(store)) != wanted:
            assert sum(map(len, found.values())) <= sum(map(len, wanted.values()))
            await store.wait_beyond(await store.head(), 0.5)


async def test_a_fork_comes_to_the_same_end_and_performs_nothing(
    office: Company, servers: Servers, database: str
) -> None:
    done: list[str] = []
    begun = await whole_run(office, done)
    assert len(done) == 12
    wanted, head = await histories(office.store), await office.store.head()
    before = await office.sql("select * from events order by position")
    again: list[str] = []
    for position in (begun, (begun + head) // 2, head - 1):
        name = f"at_{position}"
        await make(office.store, position, name)
        async with run_on(servers, database, name, again) as (fork, _):
            await becomes(fork, wanted)
            assert (await fork.audit.verify(processes=1)).broken is None
            assert (await fork.gaps.find()).gap is None
            end = await fork.head()
            compared = await Compare(fork, KINDS, 1, end, end).run()
            assert (compared.differences, compared.skipped) == ([], {})
    assert again == []
    assert await office.sql("select * from events order by position") == before


async def test_what_was_never_wanted_is_said_or_performed(office: Company, servers: Servers, database: str) -> None:
    done: list[str] = []
    await whole_run(office, done)
    head = await office.store.head()
    await make(office.store, head, "still")
    await make(office.store, head, "alive", live=True)
    again: list[str] = []
    async with run_on(servers, database, "still", again) as (fork, somebody):
        await somebody.ask(WORKERS[0], Begin("new"), "n1")
        with anyio.fail_after(PATIENCE_S):
            while not (row := await fork.read(head + 1)):
                await fork.wait_beyond(head + 1, 1.0)
        assert NOTHING_RECORDED.encode() in row[0].body
        assert again == []
    async with run_on(servers, database, "alive", again) as (fork, somebody):
        await somebody.ask(WORKERS[0], Begin("new"), "n1")
        with anyio.fail_after(PATIENCE_S):
            while not again:
                await fork.wait_beyond(head + 1, 0.2)
    assert again == ["w0:new"]
    assert await office.store.head() == head


async def test_a_recorded_outcome_answers_its_own_work_only(office: Company, servers: Servers, database: str) -> None:
    """Changed before it began: the same key with other work is not answered from the record."""
    done: list[str] = []
    async with office.runs(performer(done)):
        await office.asker.ask(WORKERS[0], Begin("theirs"), "b0")
        await office.events(WORKERS[0], 2)
    await make(office.store, 0, "f1", live=True)
    again: list[str] = []
    async with run_on(servers, database, "f1", again) as (fork, somebody):
        await somebody.ask(WORKERS[0], Begin("mine"), "b0")
        with anyio.fail_after(PATIENCE_S):
            while len(rows := await fork.read_stream(WORKERS[0])) < 2:
                await fork.wait_beyond(await fork.head(), 0.2)
    assert again == ["w0:mine"]
    assert b"mine" in rows[1].body


async def test_reminders_go_on_from_where_they_were(office: Company, servers: Servers, database: str) -> None:
    """A fork made long after still has the whole of a timer's rest; and a cancelled one stays cancelled."""
    async with office.runs():
        await office.asker.ask(WORKERS[0], Begin("later", 0.3), "r0")
        await office.asker.ask(WORKERS[1], Begin("never", 0.3), "r1")
        forgotten = await office.asker.ask(WORKERS[1], Forget(), "f1")
        await office.events(WORKERS[0], 2)
    await make(office.store, forgotten.position, "f1")
    async with run_on(servers, database, "f1", []) as (fork, _):
        with anyio.fail_after(PATIENCE_S):
            while len(await fork.read_stream(WORKERS[0])) < 2:
                await fork.wait_beyond(await fork.head(), 0.5)
        assert len(await fork.read_stream(WORKERS[1])) == 2


async def test_a_road_begins_anew_for_a_new_fork_of_an_old_name(servers: Servers, database: str) -> None:
    root = fresh_root()
    async with NatsBus.open(servers.nats_url, servers.nats_token, root) as bus:
        await bus.client.jetstream().publish(f"{root}.cmd.demo.counter.c1", b"{}")
    async with NatsBus.open(servers.nats_url, servers.nats_token, root) as bus:
        assert (await bus.client.jetstream().stream_info(bus.stream)).state.messages == 1
    async with NatsBus.open(servers.nats_url, servers.nats_token, root, anew=True) as bus:
        assert (await bus.client.jetstream().stream_info(bus.stream)).state.messages == 0
        await bus.remove_stream()
        await bus.remove_stream()
        with pytest.raises(nats.js.errors.NotFoundError):
            await bus.client.jetstream().stream_info(bus.stream)


async def test_commands_from_outside_are_taken_at_once(office: Company, servers: Servers, database: str) -> None:
    """Whatever the record would have next."""
    async with office.runs():
        for n in range(3):
            await office.asker.ask(at("counter", "c1"), Add(n + 1), f"a{n}")
    await make(office.store, 1, "f1")
    async with run_on(servers, database, "f1", []) as (fork, somebody):
        reply = await somebody.ask(at("counter", "c1"), Add(50), "mine")
        assert (reply.outcome, reply.position) == ("accepted", 2)
        assert (await somebody.ask(at("counter", "c1"), Add(1), "a0")).known
        assert not (await somebody.ask(at("counter", "c1"), Add(2), "a1")).known
        assert await fork.head() == 3
