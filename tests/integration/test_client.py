"""Asking, telling and cancelling as programs do, and what a company under pressure tells them."""

from collections.abc import AsyncGenerator

import anyio
import nats.js.errors
import pytest

from actors.embedded.servers import Servers
from actors.runtime import client as clients
from actors.runtime import pressure as pressures
from actors.runtime.client import Client, NoReply, NotStored, TooBig, Unreachable
from protocol.codec import encode
from protocol.message import Command
from protocol.reply import Reply
from protocol.subjects import Address
from tests.kit.company import PATIENCE_S, Company, at, company, fresh_root, own_bus
from tests.kit.counting import Add

C1 = at("counter", "c1")


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with company(servers, database) as opened:
        yield opened


@pytest.fixture
async def program(servers: Servers, office: Company) -> AsyncGenerator[Client]:
    async with Client.open(servers.nats_url, servers.nats_token, office.bus.root, "program") as client:
        yield client


class Asks:
    """Asks under way; what each came to is among `replies` under its id."""

    def __init__(self, client: Client) -> None:
        self.client, self.replies = client, dict[str, Reply]()
        self._stirred = anyio.Event()

    async def ask(self, to: Address, command: Command, id_: str, deadline_s: float = PATIENCE_S) -> None:
        self.replies[id_] = await self.client.ask(to, command, deadline_s, id=id_)
        self._stirred.set()

    async def ended(self, count: int) -> None:
        """Wait until so many of them are answered."""
        with anyio.fail_after(PATIENCE_S):
            while len(self.replies) < count:
                self._stirred = anyio.Event()
                await self._stirred.wait()


async def stored(office: Company, count: int) -> None:
    """Wait until the stream has so many messages."""
    stream = office.bus.client.jetstream()
    with anyio.fail_after(PATIENCE_S):
        while (await stream.stream_info(office.bus.stream)).state.last_seq < count:
            await anyio.sleep(0.01)


async def test_many_asks_in_flight_share_one_inbox_and_each_hears_its_own(office: Company, program: Client) -> None:
    asks = Asks(program)
    async with office.runs(), anyio.create_task_group() as group:
        for n in range(300):
            group.start_soon(asks.ask, at("counter", f"c{n % 7}"), Add(n % 3 - 1), f"k{n}")
    assert len(asks.replies) == 300
    for n in range(300):
        reply = asks.replies[f"k{n}"]
        assert (reply.id, reply.outcome) == (f"k{n}", ("refused", "silent", "accepted")[n % 3])
        assert reply.actor == str(at("counter", f"c{n % 7}"))
    await office.check_counters([f"k{n}" for n in range(2, 300, 3)])


async def test_an_ask_is_sent_again_under_its_id_until_somebody_answers(
    office: Company, program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "RESEND_S", 0.02)
    asks = Asks(program)
    async with anyio.create_task_group() as group:
        group.start_soon(asks.ask, C1, Add(), "patient")
        await stored(office, 3)
        async with office.runs():
            await asks.ended(1)
    assert asks.replies["patient"].outcome == "accepted"
    await office.check_counters(["patient"])


async def test_what_a_program_told_while_nobody_was_there_is_done_when_somebody_comes(
    office: Company, program: Client
) -> None:
    told = [await program.tell(C1, Add(n), id=f"t{n}") for n in range(1, 4)]
    nameless = await program.tell(C1, encode(Add(4)))
    async with office.runs():
        assert await office.bodies(C1, "n", 4) == [1, 2, 3, 4]
    await office.check_counters([*told, nameless])


async def test_an_ask_that_nobody_heard_ends_and_is_not_run_late(office: Company, program: Client) -> None:
    with pytest.raises(NoReply, match="its outcome is unknown"):
        await program.ask(C1, Add(), -60.0, id="late")  # So that nobody has to wait for it.
    async with office.runs():
        assert (await program.ask(C1, Add(), id="next")).outcome == "accepted"
        again = await program.ask(C1, Add(), id="late")
        assert (again.outcome, again.code, again.known) == ("refused", "expired", True)
    await office.check_counters(["next"])


async def test_what_is_known_at_once_is_said_at_once(servers: Servers, office: Company, program: Client) -> None:
    with anyio.fail_after(PATIENCE_S):  # Each of these asks would wait longer.
        async with Client.open(servers.nats_url, servers.nats_token, fresh_root()) as stranger:
            with pytest.raises(NotStored, match="is a company running"):
                await stranger.ask(C1, Add(), 3_600)
            with pytest.raises(NotStored, match="is a company running"):
                await stranger.tell(C1, Add())
        async with office.runs():
            nobody = await program.ask(at("nobody", "n1"), Add(), 3_600)
            assert (nobody.outcome, nobody.code) == ("refused", "unknown-kind")
            too_far = await program.ask(C1, Add(), 40 * 86_400)
            assert (too_far.code, "limit 30" in too_far.message) == ("bad-header", True)
            assert (await program.ask(C1, Add(), 60, priority="now")).code == "bad-header"
            for send in (program.ask, program.tell):
                with pytest.raises(TooBig, match="as a blob"):
                    await send(C1, b" " * 2**20)
            assert (await program.ask(C1, Add(), priority="urgent", sender="me")).outcome == "accepted"


async def test_nats_out_of_reach_is_no_mystery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.runtime.nats_client.CONNECT_S_MAX", 0.1)
    with pytest.raises(Unreachable, match="is nats-server running"):
        async with Client.open("nats://127.0.0.1:9"):
            pass


async def test_a_full_stream_is_told_with_a_hint(servers: Servers) -> None:
    async with (
        own_bus(servers, stream_bytes_max=64 * 1024) as bus,
        Client.open(servers.nats_url, servers.nats_token, bus.root) as client,
    ):

        async def fill() -> None:
            for _ in range(100):
                await client.tell(C1, b" " * 1_000)

        with pytest.raises(NotStored) as full:
            await fill()
        assert full.value.retry_after_s > 0
        assert "not accepted" in str(full.value)
        with pytest.raises(NotStored) as asked:
            await client.ask(C1, b" " * 1_000, 3_600)
        assert asked.value.retry_after_s > 0
        await bus.purge_below(50)
        await client.tell(C1, b" " * 1_000)


async def test_a_command_that_waits_can_be_withdrawn(office: Company, program: Client) -> None:
    asks, cancels = Asks(program), list[Reply]()

    async def cancel(id_: str) -> None:
        cancels.append(await program.cancel(C1, id_))

    async with anyio.create_task_group() as group:
        for n, id_ in enumerate(("before", "regretted", "after")):
            group.start_soon(asks.ask, C1, Add(), id_)
            await stored(office, n + 1)
        group.start_soon(cancel, "regretted")
        await stored(office, 4)
        async with office.runs():
            await asks.ended(3)
            await cancel("after")
            await cancel("never")
            known = await program.ask(C1, Add(), id="regretted")
            assert (known.known, known.code) == (True, "cancelled")
    regretted = asks.replies.pop("regretted")
    assert (regretted.outcome, regretted.code) == ("refused", "cancelled")
    assert [reply.outcome for reply in asks.replies.values()] == ["accepted"] * 2
    assert [reply.outcome for reply in cancels] == ["silent"] * 3
    await office.check_counters(["before", "after"])
    await office.check_settled()


async def test_what_is_urgent_goes_before_what_others_sent_earlier(
    office: Company, program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.runtime.commit.UNIT_COMMANDS_MAX", 1)
    for n in range(1, 151):
        await office.asker.publish(C1, Add(n), Troupe_Priority="low", Troupe_Sender="patient")
    await office.asker.flush()
    await program.tell(C1, Add(1_000), priority="urgent", sender="hasty")
    async with office.runs():
        numbers = await office.bodies(C1, "n", 151)
    assert numbers.index(1_000) < 150, "it came last"
    assert [n for n in numbers if n < 1_000] == list(range(1, 151)), "one sender's own stay in order"
    await office.check_settled()


@pytest.mark.parametrize("resend_s", [60.0, 0.02])
async def test_who_is_turned_away_may_send_again_and_nothing_is_applied_behind_his_back(
    office: Company, program: Client, monkeypatch: pytest.MonkeyPatch, resend_s: float
) -> None:
    """Also if all was sent several times, and one of those was taken and another turned away."""
    monkeypatch.setattr(clients, "RESEND_S", resend_s)
    monkeypatch.setattr(pressures, "ACTOR_COMMANDS_MAX", 5)
    monkeypatch.setattr(pressures, "OPEN_COMMANDS_MAX", 100)
    many = {f"k{n}" for n in range(200)}
    asks, again = Asks(program), Asks(program)
    busy: set[str] = set()
    async with anyio.create_task_group() as group:
        for id_ in many:
            group.start_soon(asks.ask, C1, Add(), id_)
        await stored(office, len(many))
        async with office.runs():
            await asks.ended(len(many))
            busy = {id_ for id_, reply in asks.replies.items() if reply.code == "busy"}
            assert busy or resend_s < 1
            assert all(asks.replies[id_].retry_after_s > 0 for id_ in busy)
            assert all(asks.replies[id_].outcome == "accepted" for id_ in many - busy)
            await office.check_counters(many - busy)
            for id_ in sorted(busy)[:20]:
                await again.ask(C1, Add(), id_)
    assert {(reply.outcome, reply.known) for reply in again.replies.values()} <= {("accepted", False)}
    await office.check_counters([*(many - busy), *again.replies])
    await office.check_settled()


async def test_who_cannot_be_told_waits_and_no_order_is_broken(
    office: Company, program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressures, "ACTOR_COMMANDS_MAX", 5)
    monkeypatch.setattr(pressures, "OPEN_COMMANDS_MAX", 20)
    for n in range(1, 301):
        await office.asker.publish(C1, Add(n))
    await office.asker.flush()
    await stored(office, 300)
    async with office.runs():
        assert await office.bodies(C1, "n", 300) == list(range(1, 301))
    await office.check_settled()


async def test_a_deleted_stream_is_noticed_while_one_waits(
    office: Company, program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first publish was stored, so what became of it is unknown, whatever NATS says of the second."""
    monkeypatch.setattr(clients, "RESEND_S", 0.1)
    monkeypatch.setattr(clients, "LATE_S", 0.1)
    stream = office.bus.client.jetstream()
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            failed = anyio.Event()

            async def ask() -> None:
                with pytest.raises(NoReply):
                    await program.ask(C1, Add(), 0.3)
                failed.set()

            group.start_soon(ask)
            await stored(office, 1)
            await stream.delete_stream(office.bus.stream)
            await failed.wait()
    with pytest.raises(nats.js.errors.NotFoundError):
        await stream.stream_info(office.bus.stream)
    await office.bus.ensure_stream()
