"""Asks that are answered later: what turns make of them, when they end, and who is told what."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from actors.runtime.asks import Asks, end_of
from actors.runtime.deadlines import ASK_S
from actors.runtime.kind import Answer, Kind
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.turn import Loaded, Pending, Turn, run_turn
from actors.runtime.work import decide, expired_in
from eventstore.asks import EXPIRED, Ask
from eventstore.memory.store import MemoryStore
from eventstore.store import NewAsk, StoreUnavailable, Unit
from protocol.codec import BODY_BYTES_MAX, encode
from protocol.envelope import Envelope
from protocol.message import Command, Refusal
from protocol.reply import Reply
from protocol.runtime import CancelCommand
from protocol.subjects import Address
from tests.kit.counting import COUNTER, KINDS, Add, Count
from tests.kit.later import CLERK, Inquire, Inquiries, Resolve, Told
from tests.kit.noting_bus import NotingBus
from tests.kit.units import FUTURE, PAST, Owner, external

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
CLERK_1 = Address("demo", "clerk", "k1")


def asked(command: Command | Refusal, id_: str, inbox: bool = True, deadline: str = "", **more: Any) -> Pending:
    refusal, meant = (command, None) if isinstance(command, Refusal) else (None, command)
    envelope = Envelope(id=id_, reply_to=f"_INBOX.{id_}" if inbox else "", deadline=deadline)
    body = b"" if meant is None else encode(meant)
    return Pending(CLERK_1, id_, "t", body, NOON, "run", envelope, meant, refusal, **more)


def turned(*commands: Pending, open_: dict[str, str] | None = None) -> Turn:
    return run_turn(CLERK, CLERK_1, Loaded(Inquiries(open_ or {}), 3), commands, NOON)


def said(unit: Unit) -> dict[str, Reply]:
    return {answer.ask: msgspec.json.decode(answer.body, type=Reply) for answer in unit.answers}


def test_who_is_answered_later_hears_nothing_now_and_the_core_knows_the_ask() -> None:
    forged = Inquire("weather", ask="somebody else's")
    turn = turned(asked(forged, "q1", deadline="2026-01-31T12:30:00Z"), asked(Inquire("weather"), "q2"))
    unit = turn.unit()
    assert turn.state == Inquiries({"q1": "weather", "q2": "weather"})
    assert turn.replies == []
    assert unit.asks == (
        NewAsk("q1", "_INBOX.q1", NOON + timedelta(minutes=30), "run"),
        NewAsk("q2", "_INBOX.q2", NOON + timedelta(seconds=ASK_S), "run"),
    )
    assert [(s.id, s.outcome) for s in unit.settled] == [("q1", "accepted"), ("q2", "accepted")]
    assert unit.settled[0].body == encode(forged), "the inbox keeps what was sent"


def test_the_answer_is_stored_with_the_event_that_decided_it() -> None:
    unit = turned(asked(Resolve("weather", "sun"), "r"), open_={"q1": "weather", "q2": "rain"}).unit()
    assert said(unit) == {
        "q1": Reply("accepted", "q1", str(CLERK_1), events=("clerk/k1@4",), answer={"words": "sun"}),
    }


def test_an_ask_can_be_answered_in_the_turn_that_opens_it() -> None:
    unit = turned(asked(Inquire("now"), "q1")).unit()
    assert [ask.id for ask in unit.asks] == ["q1"]
    assert said(unit)["q1"].answer == {"words": "at once"}


def test_what_begins_nothing_is_answered_now() -> None:
    turn = turned(asked(Inquire("nothing"), "silent"), asked(Inquire(""), "refused"), asked(Refusal("x", "y"), "bad"))
    assert turn.unit().asks == ()
    assert [(reply.id, reply.outcome, reply.code) for _, reply, _ in turn.replies] == [
        ("silent", "silent", ""),
        ("refused", "refused", "no-subject"),
        ("bad", "refused", "x"),
    ]


def test_an_ask_nobody_waits_for_is_no_row() -> None:
    unit = turned(asked(Inquire("weather"), "q1", inbox=False)).unit()
    assert unit.asks == ()
    assert len(unit.events) == 1


def test_an_answer_no_message_can_hold_breaks_its_turn() -> None:
    reply = Told("x" * BODY_BYTES_MAX)
    kind = Kind(
        "clerk", CLERK.commands, CLERK.events, CLERK.initial, CLERK.decide, CLERK.evolve,
        lambda _state, _event: (Answer("q", reply),), later=(Inquire,),
    )  # fmt: skip
    works, _ = decide(kind, CLERK_1, Loaded(Inquiries(), 0), [asked(Inquire("x"), "q")], NOON)
    assert "the answer to q has" in works[0].error


def test_a_command_that_is_answered_later_has_a_place_for_its_ask() -> None:
    with pytest.raises(ValueError, match="Add is answered later and needs a field"):
        Kind("c", (Add,), COUNTER.events, COUNTER.initial, COUNTER.decide, COUNTER.evolve, COUNTER.react, later=(Add,))


def test_a_withdrawal_ends_the_ask_and_the_core_hears_of_it() -> None:
    turn = turned(asked(CancelCommand("q1"), "c"), open_={"q1": "weather", "q2": "rain"})
    assert turn.state == Inquiries({"q2": "rain"})
    ((_, reply, _),) = turn.replies
    assert (reply.id, reply.outcome) == ("c", "accepted")
    (end,) = said(turn.unit()).values()
    assert (end.outcome, end.code, end.id) == ("refused", "cancelled", "q1")


def test_a_core_may_refuse_a_withdrawal() -> None:
    turn = turned(asked(CancelCommand("q1"), "c"), open_={"q1": "forever"})
    assert turn.unit().answers == ()
    assert turn.replies[0][1].code == "not-so"


def test_a_kind_that_hears_of_no_withdrawals_is_not_asked() -> None:
    cancel = Pending(Address("demo", "counter", "c"), "c", "t", b"", NOON, "run", Envelope(), CancelCommand("q1"))
    turn = run_turn(COUNTER, cancel.address, Loaded(Count(), 0), [cancel], NOON)
    assert [(s.outcome, s.id) for s in turn.settled] == [("silent", "c")]
    assert list(said(turn.unit())) == ["q1"]


def test_what_the_store_calls_late_is_refused_and_then_has_no_deadline() -> None:
    noon = "2026-01-31T12:00:00Z"
    commands = [asked(Inquire("a"), "late", deadline=noon), asked(Inquire("b"), "not late", deadline=noon)]
    assert [s.deadline for s in turned(*commands).settled] == [NOON, NOON]
    again = turned(*expired_in(commands, ("late", "nobody")))
    assert [(s.outcome, s.deadline) for s in again.settled] == [("refused", None), ("accepted", NOON)]
    assert again.replies[0][1].code == "expired"


class Office:
    """The asks of a process on the store in memory."""

    def __init__(self, owner: Owner, store: MemoryStore) -> None:
        self.owner, self.store, self.bus, self.registry = owner, store, NotingBus(), CollectorRegistry()
        self.asks = Asks(store, self.bus, {0}, lambda: datetime.now(UTC), RuntimeMetrics(self.registry, KINDS))

    async def open(self, *asks: NewAsk) -> Unit:
        settled = tuple(external(ask.id) for ask in asks)
        unit = Unit(0, CLERK_1, None, settled, asks=asks)
        await self.owner.commit(unit)
        return unit

    def told(self) -> list[tuple[str, str, str]]:
        return [(inbox, reply.id, reply.code) for inbox, reply in self.bus.replies]


@pytest.fixture
async def office() -> Office:
    store = MemoryStore()
    return Office(await Owner.of(store, 0), store)


def new(id_: str, deadline: datetime = FUTURE) -> NewAsk:
    return NewAsk(id_, f"_INBOX.{id_}", deadline, "run")


async def until(office: Office, count: int) -> None:
    """Let the asks run until so many were told."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(office.asks.run)
            while len(office.bus.replies) < count:
                await anyio.sleep(0.005)
            group.cancel_scope.cancel()


async def test_an_answer_is_told_after_its_commit(office: Office) -> None:
    await office.open(new("q1"))
    turn = turned(asked(Resolve("weather", "sun"), "r"), open_={"q1": "weather"})
    unit = turn.unit()
    await office.owner.commit(msgspec.structs.replace(unit, partition=0, expected=0))
    await office.asks.committed([unit])
    ((inbox, reply),) = office.bus.replies
    assert (inbox, reply.answer) == ("_INBOX.q1", {"words": "sun"})


async def test_an_ask_ends_at_its_deadline(office: Office) -> None:
    await office.open(new("late", PAST), new("soon", datetime.now(UTC) + timedelta(seconds=0.05)), new("far"))
    await until(office, 2)
    assert office.told() == [("_INBOX.late", "late", "expired"), ("_INBOX.soon", "soon", "expired")]
    assert office.registry.get_sample_value("troupe_asks_ended_total", {"kind": "unknown", "outcome": "expired"}) == 2


async def test_an_ask_that_comes_while_it_rests_is_not_late(office: Office) -> None:
    """Nothing is open, so it would look again in half a minute."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(office.asks.run)
            await anyio.wait_all_tasks_blocked()
            unit = await office.open(new("soon", datetime.now(UTC) + timedelta(seconds=0.05)))
            await office.asks.committed([unit])
            while not office.bus.replies:
                await anyio.sleep(0.005)
            group.cancel_scope.cancel()
    assert office.told() == [("_INBOX.soon", "soon", "expired")]


async def test_an_ask_that_comes_while_it_looks_is_not_late(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store was asked just before that was in it."""
    look = office.store.asks.next_deadline_s
    opened = anyio.Event()

    async def slow(partitions: Sequence[int]) -> float | None:
        found = await look(partitions)
        if not opened.is_set():
            opened.set()
            unit = await office.open(new("soon", datetime.now(UTC) + timedelta(seconds=0.05)))
            await office.asks.committed([unit])
        return found

    monkeypatch.setattr(office.store.asks, "next_deadline_s", slow)
    await until(office, 1)
    assert office.told() == [("_INBOX.soon", "soon", "expired")]


async def test_an_outage_of_the_store_only_delays(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.runtime.asks.AGAIN_S", 0.01)
    expire, failures = office.store.asks.expire, [1, 2]

    async def failing(partitions: Sequence[int], limit: int) -> list[Ask]:
        if failures:
            failures.pop()
            raise StoreUnavailable("gone for a while")
        return await expire(partitions, limit)

    monkeypatch.setattr(office.store.asks, "expire", failing)
    await office.open(new("late", PAST))
    await until(office, 1)
    assert office.told() == [("_INBOX.late", "late", "expired")]


async def test_who_asks_again_hears_how_it_ended_or_waits(office: Office) -> None:
    await office.open(new("answered"), new("late", PAST), new("open"))
    unit = turned(asked(Resolve("x", "sun"), "r"), open_={"answered": "x"}).unit()
    await office.owner.commit(msgspec.structs.replace(unit, partition=0, expected=0))
    await office.store.asks.expire([0], 9)
    inboxes = {id_: f"_INBOX.new.{id_}" for id_ in ("answered", "late", "open", "r", "nobody")}
    known = await office.asks.known("demo", inboxes)
    told = {id_: msgspec.json.decode(body, type=Reply) for id_, body in known.items() if body is not None}
    assert {id_: (r.outcome, r.code, r.known) for id_, r in told.items()} == {
        "answered": ("accepted", "", False),
        "late": ("refused", "expired", False),
        "r": ("accepted", "", True),
    }
    assert known.keys() - told.keys() == {"open"}
    (still,) = await office.store.asks.repeat("demo", {"open": "_INBOX.new.open"})
    assert still.reply_to == "_INBOX.new.open"


async def test_of_what_was_forgotten_only_the_outcome_is_known(office: Office) -> None:
    await office.open(new("old", PAST))
    await office.store.asks.expire([0], 9)
    await office.store.asks.forget([0], 0, 9)
    body = (await office.asks.known("demo", {"old": "_INBOX.o"}))["old"]
    assert body is not None
    assert msgspec.json.decode(body, type=Reply) == Reply("accepted", "old", str(CLERK_1), known=True)


def test_an_end_is_a_reply() -> None:
    ask = Ask("q", CLERK_1, "_INBOX.q", NOON, "run", EXPIRED)
    reply = msgspec.json.decode(end_of(ask), type=Reply)
    assert (reply.id, reply.outcome, reply.code) == ("q", "refused", "expired")
    assert "2026-01-31T12:00:00.000000Z" in reply.message
