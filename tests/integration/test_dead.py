"""Poison on real servers: the actor is parked, its neighbours go on, and an operator decides what becomes of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import pytest_asyncio
from anyio.to_thread import run_sync

from actors.cli.main import main
from actors.embedded.servers import Servers
from actors.runtime import services
from actors.runtime.kind import Kind
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.ownership import WORKERS_BELL
from actors.runtime.ports import NO_TRACES
from actors.runtime.supervision import ServiceFailed
from actors.runtime.supervisor import running
from actors.runtime.suspects import ATTEMPTS_MAX
from actors.runtime.watchdog import STUCK_EXIT_CODE
from eventstore.postgres.store import PostgresStore
from eventstore.store import Batch, Verdict
from protocol.codec import encode
from protocol.message import Event
from protocol.runtime import ActorRetried, CommandQuarantined
from protocol.subjects import Address, dead_subject, partition_of
from tests.kit.company import PATIENCE_S, Company, at, company
from tests.kit.counting import COUNTER, KINDS, PLAYER, Add, Ball, Count, Hits, Serve
from tests.kit.poison_child import KILLED_CODE, KILLS, LOOPS

C1, C2 = at("counter", "c1"), at("counter", "c2")
KEEPER = at("runtime", str(partition_of(C1)))
CHILD_TURN_S_MAX = 1.0


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with company(servers, database) as opened:
        yield opened


def _mended(state: Count, command: Add) -> tuple[Event, ...]:
    return COUNTER.decide(state, Add(command.n))


MENDED: dict[str, Kind[Any]] = {**KINDS, "counter": replace(COUNTER, decide=_mended)}


async def break_it(office: Company) -> None:
    """C1 takes one command, breaks on the next, and two more wait for it."""
    assert (await office.asker.ask(C1, Add(1), "before")).outcome == "accepted"
    broke = await office.asker.ask(C1, Add(2, "decide"), "bad")
    assert (broke.outcome, broke.code) == ("quarantined", "broke")
    for n, key in ((3, "e1"), (4, "e2")):
        parked = await office.asker.ask(C1, Add(n), key)
        assert (parked.outcome, parked.code) == ("parked", "parked")
        assert "no\\x00such thing" in parked.message


async def test_a_broken_actor_is_parked_and_its_neighbours_go_on(office: Company) -> None:
    dead = await office.asker.listen_to(dead_subject(C1, office.bus.root))
    async with office.runs():
        await break_it(office)
        assert (await dead.next_msg(PATIENCE_S)).data == encode(Add(2, "decide"))
        again = await office.asker.ask(C1, Add(3), "e1")
        assert (again.known, again.outcome, again.code) == (True, "parked", "parked")
        refused = await office.asker.ask(C1, b'{"type":"counter.add.v1","n":"x"}', "bad-input")
        assert (refused.outcome, refused.code) == ("refused", "malformed"), "what is wrong need not wait"
        neighbour = next(
            at("counter", f"n{n}") for n in range(9_999) if partition_of(at("counter", f"n{n}")) == partition_of(C1)
        )
        for to, key in ((C2, "n1"), (neighbour, "n2")):
            assert (await office.asker.ask(to, Add(1), key)).outcome == "accepted"
    await office.check_settled()
    async with office.runs():  # Whoever comes next knows.
        assert (await office.asker.ask(C1, Add(5), "e3")).outcome == "parked"
    assert [event.causation for event in await office.events(C1)] == ["before"]
    assert [row.command.id for row in await office.store.dead.kept(C1)] == ["bad", "e1", "e2", "e3"]
    (found,) = await office.store.dead.parked("demo")
    assert (found.address, found.killer, found.commands) == (C1, "bad", 3)
    await office.check_settled()
    await office.check_log()


async def test_a_retry_applies_the_killer_and_then_what_waits_in_order_once(office: Company) -> None:
    async with office.runs():
        await break_it(office)
    released = await office.store.dead.retry(C1)
    assert released is not None
    assert released.sent == 3
    async with office.runs(kinds=MENDED):
        assert await office.bodies(C1, "n", 4) == [1, 2, 3, 4]
        await office.quiet()
        later = await office.asker.ask(C1, Add(9), "e2")
        assert (later.known, later.outcome) == (True, "accepted"), "who asks again hears what became of it"
        assert (await office.asker.ask(C1, Add(5), "after")).outcome == "accepted"
    assert [event.causation for event in await office.events(C1)] == ["before", "bad", "e1", "e2", "after"]
    events = await office.events(KEEPER)
    assert [event.type for event in events] == [
        str(cls.__struct_config__.tag) for cls in (CommandQuarantined, ActorRetried)
    ]
    assert await office.store.dead.parked("demo") == []
    await office.check_settled()
    await office.check_log()


async def test_a_drop_while_the_company_runs_lets_the_others_through(office: Company) -> None:
    """Nobody tells the owner: it finds its lease gone, takes it again, and begins from what the store says."""
    async with office.runs() as runtime:
        await break_it(office)
        released = await office.store.dead.drop(C1)
        assert released is not None
        assert await office.bodies(C1, "n", 3) == [1, 3, 4]
        assert (await office.asker.ask(C1, Add(5), "after")).outcome == "accepted"
        assert len(runtime.ownership.held) == 64
    assert [event.causation for event in await office.events(C1)] == ["before", "e1", "e2", "after"]
    assert (await office.store.inbox("demo", ["bad"]))["bad"].outcome == "quarantined"
    await office.check_settled()
    await office.check_log()


async def test_a_retry_of_what_is_not_mended_parks_the_actor_again(office: Company) -> None:
    async with office.runs():
        await break_it(office)
        assert await office.store.dead.retry(C1) is not None
        await office.bus.ring_effects([WORKERS_BELL])
        assert len(await office.events(KEEPER, 3)) == 3
        (found,) = await office.store.dead.parked("demo")
        assert (found.killer, found.commands + found.sends) == ("bad", 2)
        assert await office.store.dead.drop(C1) is not None
        await office.bus.ring_effects([WORKERS_BELL])
        assert await office.bodies(C1, "n", 3) == [1, 3, 4]
        await office.quiet()
    await office.check_settled()


class ListeningBus:
    """A bus that notes for whom it was rung."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self.rung: list[Address] = []
        self._rang = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def ring(self, receivers: Sequence[Address], traces: Mapping[Address, str] = NO_TRACES) -> None:
        self.rung.extend(receivers)
        self._rang.set()
        await self._bus.ring(receivers, traces)

    async def rings(self, count: int) -> None:
        while len(self.rung) < count:
            self._rang = anyio.Event()
            await self._rang.wait()


async def test_what_others_sent_waits_in_the_outbox_and_is_not_rung_for(
    office: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A letter that breaks its receiver; the ones behind it wait, and come after it, in the order they were sent."""
    monkeypatch.setattr(services, "SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr(services, "OVERDUE_S", 0.05)
    rude = True

    def decide(state: Hits, command: Serve | Ball) -> tuple[Event, ...]:
        if rude and isinstance(command, Ball) and command.n == 1:
            raise ValueError("a bad ball")
        return PLAYER.decide(state, command)

    p2 = at("player", "p2")
    bus = ListeningBus(office.bus)
    # The sweeper rings its own bell while a cursor rests: so one hears that it has swept.
    kinds = {**KINDS, "player": replace(PLAYER, decide=decide)}
    async with office.runs(bus=bus, kinds=kinds):  # pyright: ignore[reportArgumentType]
        await office.asker.ask(at("player", "p1"), Serve("p2", 4))
        with anyio.fail_after(PATIENCE_S):
            while (found := await office.store.dead.parked_actor(p2)) is None:
                await anyio.sleep(0.02)
        assert (found.commands, found.sends) == (0, 3)
        bus.rung.clear()
        with anyio.fail_after(PATIENCE_S):
            await bus.rings(3)
        assert p2 not in bus.rung, "nobody rings for what waits for a parked actor"
        rude = False
        assert await office.store.dead.retry(p2) is not None
        assert (await office.bodies(p2, "n", 4))[:4] == [1, 2, 3, 4]
        await office.quiet()
    await office.check_settled()
    await office.check_log()


class Faulty:
    """A store whose commits raise what nobody expects, whenever they settle `command` as accepted; so often."""

    def __init__(self, store: PostgresStore, command: str, times: int) -> None:
        self._store, self._command, self.times = store, command, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        rows = [(row.id, row.outcome) for unit in batch.units for row in unit.settled]
        if (self._command, "accepted") in rows and self.times:
            self.times -= 1
            raise LookupError("a fault of ours")
        return await self._store.commit(batch)


async def test_a_service_that_failed_begins_again_from_what_the_store_says(office: Company) -> None:
    faulty = Faulty(office.store, "k2", 1)
    metrics = RuntimeMetrics(kinds=KINDS)
    async with running(faulty, office.bus, KINDS, {}, utc_now, True, metrics) as runtime:  # pyright: ignore[reportArgumentType]
        for n in range(5):
            assert (await office.asker.ask(C1, Add(n + 1), f"k{n}")).outcome == "accepted"
        assert len(runtime.ownership.held) == 64
    restarts = metrics.registry.get_sample_value("troupe_service_restarts_total", {"service": "committer"})
    assert (faulty.times, restarts) == (0, 1)
    assert await office.bodies(C1, "n") == [1, 2, 3, 4, 5]
    await office.check_settled()
    await office.check_log()


async def test_a_command_that_breaks_the_committer_is_found_before_the_process_gives_up(office: Company) -> None:
    """Every restart is a takeover from oneself: what kills a process is found as well when it only fails a service."""
    faulty = Faulty(office.store, "bad", 99)
    async with running(faulty, office.bus, KINDS, {}, utc_now, True):  # pyright: ignore[reportArgumentType]
        await office.asker.publish(C2, Add(1), "other")
        reply = await office.asker.insist(C1, Add(1), "bad")
        assert (reply.outcome, reply.message) == ("quarantined", f"killed its process {ATTEMPTS_MAX} times")
        assert (await office.asker.insist(C2, Add(1), "other")).outcome == "accepted"
    assert await office.bodies(C2, "n") == [1]
    await office.check_log()


async def test_a_process_whose_service_always_fails_ends(office: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.runtime.supervision.RESTARTS_MAX", 1)
    faulty = Faulty(office.store, "bad", 99)

    async def live() -> None:
        async with running(faulty, office.bus, KINDS, {}, utc_now, True):  # pyright: ignore[reportArgumentType]
            await office.asker.insist(C1, Add(1), "bad")

    with pytest.RaisesGroup(
        pytest.RaisesExc(ServiceFailed, match="'committer' failed 2 times"), flatten_subgroups=True
    ):
        await live()
    async with office.runs():  # What was under way is not lost.
        assert (await office.asker.insist(C1, Add(1), "bad")).outcome == "accepted"


@contextmanager
def child(
    office: Company, servers: Servers, said_in: Path, turn_s_max: float = 60.0
) -> Generator["subprocess.Popen[str]"]:
    arguments = [office.database, servers.nats_url, servers.nats_token, office.bus.root, str(turn_s_max)]
    root = Path(__file__).parents[2]
    with said_in.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.kit.poison_child", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            cwd=root, env=os.environ | {"PYTHONPATH": str(root)},
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


async def says(process: "subprocess.Popen[str]", word: str) -> int:
    """The number after that word, once the child says it; what it says of other things before is passed over."""
    assert process.stdout is not None
    with anyio.fail_after(3 * PATIENCE_S):
        while True:
            said, _, number = (await run_sync(process.stdout.readline, abandon_on_cancel=True)).partition(" ")
            assert said, "the child has ended"
            if said == word:
                return int(number)


async def test_a_command_that_kills_its_process_is_found_by_those_who_take_over(
    office: Company, servers: Servers, tmp_path: Path
) -> None:
    await office.asker.publish(C1, Add(KILLS), "killer")
    for n in range(1, 4):
        await office.asker.publish(C1, Add(n), f"behind{n}")
        await office.asker.publish(C2, Add(n), f"neighbour{n}")
    await office.asker.flush()
    with child(office, servers, tmp_path / "said") as process:
        for _ in range(ATTEMPTS_MAX + 1):  # The first time nobody suspected it.
            assert await says(process, "died") == KILLED_CODE, (tmp_path / "said").read_text()
        with anyio.fail_after(PATIENCE_S):
            reply = await office.asker.heard("killer")
    assert (reply.outcome, reply.message) == ("quarantined", f"killed its process {ATTEMPTS_MAX} times")
    async with office.runs():
        assert (await office.asker.ask(C1, Add(4), "later")).outcome == "parked"
        for n in range(1, 4):
            # A reply may have died with its process: who asks again hears it.
            assert (await office.asker.ask(C2, Add(n), f"neighbour{n}")).outcome == "accepted"
            assert (await office.asker.ask(C1, Add(n), f"behind{n}")).outcome == "parked"
        with anyio.fail_after(PATIENCE_S):
            while await office.sql("select count(*) from attempts") != [0]:
                await anyio.sleep(0.05)
    assert await office.bodies(C2, "n") == [1, 2, 3]
    await office.check_log()


async def test_a_turn_that_never_ends_ends_its_process_and_a_frozen_process_goes_on(
    office: Company, servers: Servers, tmp_path: Path
) -> None:
    with child(office, servers, tmp_path / "said", CHILD_TURN_S_MAX) as process:
        pid = await says(process, "ready")
        os.kill(pid, signal.SIGSTOP)
        await anyio.sleep(1.5 * CHILD_TURN_S_MAX)
        os.kill(pid, signal.SIGCONT)
        assert (await office.asker.ask(C1, Add(1), "k1")).outcome == "accepted"
        os.kill(pid, 0)
        await office.asker.publish(C1, Add(LOOPS), "endless")
        code = await says(process, "died")
        held = await office.sql("select owner is not null from partitions limit 1")
    said = (tmp_path / "said").read_text()
    assert code == STUCK_EXIT_CODE, said
    assert "the actor demo/counter/c1 was deciding the command endless (counter.add.v1)" in said
    assert "poison_child.py" in said, "the traceback shows where"
    assert held == [True], "nothing was handed over"


@pytest_asyncio.fixture(loop_scope="session")
async def broken(office: Company, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A log in which C1 is parked; the command line reads it, and nobody runs."""
    monkeypatch.setenv("TROUPE_POSTGRES_URL", office.database)
    monkeypatch.setenv("TROUPE_PROJECT", "demo")
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    async with office.runs():
        await break_it(office)


@pytest.mark.usefixtures("broken")
def test_the_command_line_without_a_company(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    def troupe(*arguments: str, code: int = 0) -> tuple[Any, str]:
        capfdbinary.readouterr()
        ended_with = main(["dead", *arguments])
        told = capfdbinary.readouterr()
        assert ended_with == code, told.err
        return (json.loads(told.out) if "--json" in arguments else told.out.decode()), told.err.decode()

    listed, _ = troupe("list", "--json")
    assert [(row["actor"], row["command"], row["commands"]) for row in listed] == [("counter/c1", "bad", 2)]
    assert troupe("list", "--kind", "task", "--json")[0] == []
    assert "counter/c1" in troupe("list")[0]
    shown, _ = troupe("show", "counter/c1", "--json")
    waiting = [(row["command"], row.get("killer", False)) for row in shown["waiting"]]
    assert waiting == [("bad", True), ("e1", False), ("e2", False)]
    assert shown["waiting"][0]["body"] == {"type": "counter.add.v1", "n": 2, "trouble": "decide"}
    assert "broken by bad: decide: KeyError" in troupe("show", "counter/c1")[0]
    assert "is not parked" in troupe("retry", "counter/c2", code=3)[1]
    assert "names no actor" in troupe("drop", "counter", code=2)[1]
    assert "pseudonymous" in troupe("drop", "counter/c1", "--by", "A B", code=2)[1]
    dropped, noted = troupe("drop", "counter/c1", "--by", "ops-1", "--json")
    assert (dropped["actor"], dropped["sent"], dropped["expired"]) == ("counter/c1", 2, 0)
    assert "no company was reached" in noted
    ((letter,), _) = troupe("list", "--all", "--json")
    assert (letter["actor"], letter["command"], letter["parked"]) == ("counter/c1", "bad", False)
    assert troupe("list", "--json")[0] == []
