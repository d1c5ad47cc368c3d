"""Effects on real servers: withdrawn while they wait and while they run, doubted and settled, taken over."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from actors.cli.main import main
from actors.embedded.servers import Servers
from actors.runtime import effects
from actors.runtime.kind import CancelEffect, Effect, EffectCall, Kind, Performer, Reaction
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.nats_tap_reader import NatsTapReader
from actors.runtime.nats_taps import NatsTaps
from actors.runtime.retry import OutcomeUnknown
from actors.runtime.supervisor import Runtime, running
from eventstore.postgres.store import PostgresStore
from protocol.message import Command, Event
from tests.kit.company import PATIENCE_S, STREAM_BYTES_MAX, Company, at, company
from tests.kit.counting import WORKER, Begin, Begun, Forget, Forgotten, Job, Report
from tests.kit.effect_room import give_up


def _react(_: Any, event: Event) -> tuple[Reaction, ...]:
    match event:
        case Begun(job=job, after_s=after_s):
            return (
                Effect("job", Job(job), "once" if job.startswith("once") else "repeatable", "work",
                       after_s if after_s >= 0 else None),
            )  # fmt: skip
        case Forgotten():
            return (CancelEffect("work"),)
        case _:
            return ()


# A worker that can withdraw its work; `after_s` is the work's deadline.
CAREFUL: Kind[Any] = replace(WORKER, react=_react)
KINDS = {"worker": CAREFUL}


class Desk:
    """Jobs run until they are told to end."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.over: list[str] = []
        self.stirred, self.go_on = anyio.Event(), anyio.Event()

    async def perform(self, call: EffectCall, work: Job) -> Command:
        self.begun.append((work.job, call.attempt))
        self._stir()
        call.tap.emit(f"{work.job}, attempt {call.attempt}".encode())
        try:
            if work.job == "once-lost":
                raise OutcomeUnknown("no answer")
            if work.job != "quick":
                await self.go_on.wait()
            return Report(work.job, "done")
        finally:
            self.over.append(work.job)
            self._stir()

    def _stir(self) -> None:
        self.stirred.set()
        self.stirred = anyio.Event()

    async def until(self, said: list[Any], what: Any) -> None:
        with anyio.fail_after(PATIENCE_S):
            while what not in said:
                await self.stirred.wait()

    def performers(self, **more: Any) -> dict[str, Performer]:
        settings: dict[str, Any] = {"concurrent_max": 2, "attempts_max": 3, "timeout_s": PATIENCE_S} | more
        return {"job": Performer("job", Job, self.perform, give_up, **settings)}


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with company(servers, database) as opened:
        yield opened


@asynccontextmanager
async def process(
    office: Company, servers: Servers, desk: Desk, alone: bool = False, **more: Any
) -> AsyncGenerator[Runtime]:
    """One more process of the company, with connections of its own."""
    async with (
        PostgresStore.open(office.database) as store,
        NatsBus.open(servers.nats_url, servers.nats_token, office.bus.root, stream_bytes_max=STREAM_BYTES_MAX) as bus,
        running(store, bus, KINDS, desk.performers(**more), utc_now, alone, taps=NatsTaps(bus)) as runtime,
    ):
        yield runtime


async def came_to(office: Company, name: str) -> str:
    """What the actor's one job came to."""
    return (await office.bodies(at("worker", name), "came_to", 2))[-1]


async def test_an_actor_withdraws_work_that_runs_in_another_process_and_work_that_waits(
    office: Company, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "SWEEP_EVERY_S", 0.2)
    desk = Desk()
    async with process(office, servers, desk, alone=True, concurrent_max=1), process(office, servers, desk):
        for name in ("w1", "w2", "w3", "w4"):
            await office.asker.ask(at("worker", name), Begin(name, -1.0))
            if name != "w4":
                await desk.until(desk.begun, (name, 1))
        await office.asker.ask(at("worker", "w4"), Forget())
        assert await came_to_last(office, "w4") == "gave up: cancelled: it was withdrawn"
        for name in ("w1", "w2", "w3"):
            await office.asker.ask(at("worker", name), Forget())
            await desk.until(desk.over, name)
            assert await came_to_last(office, name) == "gave up: cancelled: it was withdrawn"
        assert "w4" not in dict(desk.begun), "it was never begun"
        await office.asker.ask(at("worker", "w5"), Begin("slow", 0.05))
        assert await came_to(office, "w5") == "gave up: cancelled: not done within 0.05 s"
        await office.asker.ask(at("worker", "w6"), Begin("quick", 3600.0))
        assert await came_to(office, "w6") == "done"
    assert await office.sql("select key from effects") == []
    assert await office.sql("select count(*) from inbox where outbox > 0") == [6], "one outcome each"
    await office.check_log()


async def came_to_last(office: Company, name: str) -> str:
    """The same, of an actor that has also withdrawn it."""
    return (await office.bodies(at("worker", name), "came_to", 3))[-1]


async def test_a_worker_that_lost_its_claim_hears_so_from_the_one_that_took_it(
    office: Company, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first does not renew (its heartbeat is late), so its claim runs out; a third is not needed to end this."""
    monkeypatch.setattr(effects, "CLAIM_TTL_S", 0.3)
    monkeypatch.setattr(effects, "SWEEP_EVERY_S", 0.1)
    slow, second = Desk(), Desk()
    second.go_on.set()
    chunks = NatsTapReader(lambda: office.bus.client, office.bus.root).read(at("worker", "w1"), "worker/w1@1.0:work")
    async with process(office, servers, slow, alone=True, concurrent_max=1):
        await office.asker.ask(at("worker", "w1"), Begin("long"))
        await slow.until(slow.begun, ("long", 1))
        async with process(office, servers, second):
            await slow.until(slow.over, "long")
            assert await came_to(office, "w1") == "done"
            with anyio.fail_after(PATIENCE_S):
                said = [(chunk.attempt, chunk.offset, chunk.body) async for chunk in chunks]
    assert said == [(1, 0, b"long, attempt 1"), (2, 0, b"long, attempt 2")], "a reader sees that it began anew"
    assert await office.sql("select key from effects") == []


async def test_a_question_is_listed_shown_and_settled_on_the_command_line_and_its_tap_read(
    office: Company, servers: Servers, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:  # fmt: skip
    for name, value in {
        "TROUPE_POSTGRES_URL": office.database, "TROUPE_NATS_URL": _with_token(servers), "TROUPE_PROJECT": "demo",
        "TROUPE_STATE": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    # In a thread beside the company: there no signals can be watched.
    for module in ("effect", "tap"):
        monkeypatch.setattr(f"actors.cli.{module}.execute", anyio.run)
    monkeypatch.setattr("actors.settings.Settings.root", office.bus.root)

    async def command(*arguments: str, group: str = "effect") -> tuple[int, str, str]:
        code = await anyio.to_thread.run_sync(main, [group, *arguments])
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    desk, key = Desk(), "worker/w1@1.0:work"
    async with process(office, servers, desk, alone=True):
        await office.asker.ask(at("worker", "w1"), Begin("once-lost"))
        with anyio.fail_after(PATIENCE_S):
            while not await office.store.effects.listed("demo", doubted=True):
                await anyio.sleep(0.02)
        code, out, _ = await command("list")
        assert code == 0
        assert key in out
        assert "OutcomeUnknown: no answer" in out
        code, out, _ = await command("show", key, "--json")
        assert code == 0
        assert '"status":"unknown"' in out
        assert '"job":"once-lost"' in out
        assert (await command("settle", key, "--outcome", "maybe"))[0] == 2
        code, out, err = await command("settle", key, "--outcome", "failed", "--note", "the bank says no")
        assert (code, "is settled: failed" in out) == (0, True), err
        assert await came_to(office, "w1") == "gave up: an operator says: the bank says no"
        code, _, err = await command("settle", key, "--outcome", "done")
        assert (code, "has ended" in err) == (3, True)
        assert desk.begun == [("once-lost", 1)]
        code, out, _ = await command("worker", "w1", "--effect", key, "--json", group="tap")
        assert code == 0
        assert out == f'{{"effect":"{key}","attempt":1,"offset":0,"text":"once-lost, attempt 1"}}\n'


def _with_token(servers: Servers) -> str:
    return servers.nats_url.replace("://", f"://{servers.nats_token}@", 1)
