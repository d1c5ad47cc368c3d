"""Asks that are answered later, on real servers: answered, expired, withdrawn, asked again, and by whoever is there."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import anyio
import pytest

from actors.embedded.servers import Servers
from actors.runtime import client as clients
from actors.runtime import deadlines
from actors.runtime.client import Client
from actors.runtime.nats_bus import utc_now
from protocol.envelope import format_time
from protocol.message import Command
from protocol.reply import Reply
from protocol.subjects import Address
from tests.kit.company import PATIENCE_S, Company, at, company
from tests.kit.counting import KINDS, Add
from tests.kit.later import CLERK, Inquire, Resolve

K1 = at("clerk", "k1")
BOTH = {**KINDS, "clerk": CLERK}


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with company(servers, database) as opened:
        yield opened


@pytest.fixture
async def program(servers: Servers, office: Company) -> AsyncGenerator[Client]:
    async with Client.open(servers.nats_url, servers.nats_token, office.bus.root) as client:
        yield client


class Inquirer:
    """Inquires in the background; `replies` are what came of it, by id."""

    def __init__(self, client: Client) -> None:
        self.client, self.replies = client, dict[str, Reply]()

    async def ask(self, about: str, id_: str, to: Address = K1, deadline_s: float = PATIENCE_S) -> None:
        self.replies[id_] = await self.client.ask(to, Inquire(about), deadline_s, id=id_)


async def open_asks(office: Company, count: int) -> None:
    """Wait until so many asks are open."""
    with anyio.fail_after(PATIENCE_S):
        while await office.sql("select count(*) from asks where answer is null") != [count]:
            await anyio.sleep(0.01)


async def test_an_ask_is_answered_by_a_later_command_whoever_sends_it(office: Company, program: Client) -> None:
    inquirer = Inquirer(program)
    async with office.runs(kinds=BOTH), anyio.create_task_group() as group:
        for n in range(50):
            group.start_soon(inquirer.ask, "weather", f"q{n}")
        group.start_soon(inquirer.ask, "now", "at once")
        await open_asks(office, 50)
        await program.ask(K1, Resolve("weather", "sun"))
    assert inquirer.replies.pop("at once").answer == {"words": "at once"}
    assert len(inquirer.replies) == 50
    (event,) = [event.reference for event in (await office.events(K1))[-1:]]
    for id_, reply in inquirer.replies.items():
        assert (reply.outcome, reply.id, reply.answer, reply.events) == ("accepted", id_, {"words": "sun"}, (event,))
    await office.check_log()
    await office.check_settled()


async def test_neither_an_open_ask_nor_its_answer_is_lost_with_a_process(
    office: Company, program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "RESEND_S", 0.05)
    inquirer = Inquirer(program)
    async with anyio.create_task_group() as group:
        async with office.runs(kinds=BOTH):
            group.start_soon(inquirer.ask, "weather", "q1")
            await open_asks(office, 1)
        async with office.runs(kinds=BOTH):
            await office.asker.ask(K1, Resolve("weather", "rain"))
        await office.sql(
            "update asks set reply_to = '_INBOX.nobody.hears'"
        )  # As if the process had died before it said so.
        async with office.runs(kinds=BOTH):
            with anyio.fail_after(PATIENCE_S):
                while not inquirer.replies:
                    await anyio.sleep(0.01)
    assert inquirer.replies["q1"].answer == {"words": "rain"}
    assert len(await office.events(K1)) == 2


async def test_who_asks_again_under_the_same_id_hears_the_answer_again(office: Company, program: Client) -> None:
    async with office.runs(kinds=BOTH):
        await office.asker.publish(K1, Inquire("weather"), "q1")
        await open_asks(office, 1)
        await office.asker.publish(K1, Inquire("weather"), "q1")
        await office.asker.ask(K1, Resolve("weather", "fog"))
        with anyio.fail_after(PATIENCE_S):
            assert (await office.asker.heard("q1")).answer == {"words": "fog"}
        again = await program.ask(K1, Inquire("weather"), id="q1")
        assert again == office.asker.replies["q1"][0]
    assert len(await office.events(K1)) == 2


async def test_an_ask_without_an_answer_ends_at_its_deadline(office: Company, program: Client) -> None:
    inquirer = Inquirer(program)
    async with office.runs(kinds=BOTH), anyio.create_task_group() as group:
        group.start_soon(inquirer.ask, "weather", "soon", K1, 0.3)
        group.start_soon(inquirer.ask, "weather", "patient", K1, PATIENCE_S)
        with anyio.fail_after(PATIENCE_S):
            while "soon" not in inquirer.replies:
                await anyio.sleep(0.01)
        await program.ask(K1, Resolve("weather", "late"))
    assert (inquirer.replies["soon"].outcome, inquirer.replies["soon"].code) == ("refused", "expired")
    assert inquirer.replies["patient"].answer == {"words": "late"}


async def test_of_many_processes_one_ends_an_ask_or_answers_it(office: Company) -> None:
    """Each owns some of the clerks; every second one is asked for more than it can know in time."""
    clerks = [at("clerk", f"k{n}") for n in range(20)]
    deadlines_ = [format_time(utc_now() + timedelta(seconds=s)) for s in (PATIENCE_S, 0.5)]
    async with office.runs(kinds=BOTH, alone=False), office.runs(kinds=BOTH, alone=False):
        for n, clerk in enumerate(clerks):
            await office.asker.publish(clerk, Inquire("weather"), clerk.name, Troupe_Deadline=deadlines_[n % 2])
        for clerk in clerks[::2]:
            await office.events(clerk, 1)
            await office.asker.ask(clerk, Resolve("weather", "sun"))
        with anyio.fail_after(PATIENCE_S):
            for clerk in clerks:
                await office.asker.heard(clerk.name)
    replies = [office.asker.replies[clerk.name] for clerk in clerks]
    assert [len(heard) for heard in replies] == [1] * len(clerks)
    assert [reply.code for (reply,) in replies] == ["", "expired"] * 10


async def test_an_ask_that_names_no_deadline_has_one(
    office: Company, program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "ASK_S", 0.1)
    async with office.runs(kinds=BOTH):
        reply = await office.asker.ask(K1, Inquire("weather"), "q1")
        assert (reply.id, reply.code) == ("q1", "expired")


async def test_an_open_ask_can_be_withdrawn_and_the_actor_hears_of_it(office: Company, program: Client) -> None:
    inquirer = Inquirer(program)
    async with office.runs(kinds=BOTH), anyio.create_task_group() as group:
        for about, id_ in (("weather", "regretted"), ("weather", "kept"), ("forever", "binding")):
            group.start_soon(inquirer.ask, about, id_)
        await open_asks(office, 3)
        assert (await program.cancel(K1, "regretted")).outcome == "accepted"
        assert (await program.cancel(K1, "binding")).code == "not-so"
        await open_asks(office, 2)
        await program.ask(K1, Resolve("weather", "sun"))
        await program.ask(K1, Resolve("forever", "yes"))
    assert (inquirer.replies["regretted"].outcome, inquirer.replies["regretted"].code) == ("refused", "cancelled")
    assert inquirer.replies["kept"].answer == {"words": "sun"}
    assert inquirer.replies["binding"].answer == {"words": "yes"}
    assert (await office.bodies(K1, "asks"))[-2:] == [["kept"], ["binding"]]


async def test_a_command_whose_deadline_passes_on_its_way_is_not_run(
    office: Company, program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the store's clock, and among commands that are in time."""
    c1 = at("counter", "c1")
    just_past = format_time(utc_now() - timedelta(seconds=1))
    monkeypatch.setattr("actors.runtime.deadlines.CLOCKS_DIFFER_S_MAX", 3_600.0)
    wanted: list[tuple[str, Command, str]] = [("a", Add(1), ""), ("late", Add(1), just_past), ("b", Add(1), "")]
    for id_, command, deadline in wanted:
        await office.asker.publish(c1, command, id_, Troupe_Deadline=deadline)
    async with office.runs():
        with anyio.fail_after(PATIENCE_S):
            replies = {id_: await office.asker.heard(id_) for id_, _, _ in wanted}
        assert {id_: (reply.outcome, reply.code) for id_, reply in replies.items()} == {
            "a": ("accepted", ""),
            "late": ("refused", "expired"),
            "b": ("accepted", ""),
        }
        known = await office.asker.ask(c1, Add(1), "late")
        assert (known.known, known.code) == (True, "expired")
    await office.check_counters(["a", "b"])
    await office.check_settled()
