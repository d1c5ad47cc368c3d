"""The check before a deploy: each change of the code that matters is found, with its actor and event, and no other."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import anyio
import msgspec
import pytest

from actors.runtime import upgrade
from actors.runtime.kind import Cancel, Effect, Kind, Reaction, Send, Timer
from actors.runtime.upgrade import Checked, Divergence
from eventstore.histories import SettledCommand
from eventstore.memory.store import MemoryStore
from eventstore.store import EventStore, StoreUnavailable
from protocol.message import Command, Event, Refusal
from protocol.runtime import CancelCommand
from protocol.subjects import Address
from protocol.upcast import Upcast
from tests.kit import counting
from tests.kit.counting import COUNTER, PLAYER, WORKER, Add, Added, Ball, Begin, Count, Hits, Job, Report, Serve
from tests.kit.histories import C1, C2, LEFT, RIGHT, W1, W3, W4, WAITING, check, found, write_history
from tests.kit.turns import Turns


@pytest.fixture
async def history() -> EventStore:
    store = MemoryStore()
    await write_history(store)
    return store


def of(checked: Checked, address: Address) -> Divergence:
    return checked.diverging[address]


def _adds_more(_: Count, command: Add) -> tuple[Event, ...]:
    return (Added(command.n + (command.n > 4)),) if command.n > 0 else ()


def _adds_twice(_: Count, command: Add) -> tuple[Event, ...]:
    return (Added(command.n), Added(command.n)) if command.n == 2 else (Added(command.n),)


def _refuses(state: Count, command: Add) -> tuple[Event, ...]:
    if state.adds == 250:
        raise Refusal("enough", "no more")
    return (Added(command.n),)


def _breaks(_: Count, command: Add) -> tuple[Event, ...]:
    raise KeyError(command.n)


@pytest.mark.parametrize(
    ("decide", "expected", "words"),
    [
        (_adds_more, {C2: 1}, "differs in n"),
        (_adds_twice, {C1: 2}, "counter.added.v1, counter.added.v1"),
        (_refuses, {C1: 251}, "refused: enough"),
        (_breaks, {C1: 1, C2: 1}, "KeyError"),
    ],
    ids=["another body", "more events", "a refusal", "an error"],
)
async def test_another_decision_is_found_with_its_event(
    history: EventStore, decide: Any, expected: dict[Address, int], words: str
) -> None:
    checked = await check(history, replace(COUNTER, decide=decide))
    assert {address: d.version for address, d in checked.diverging.items()} == expected
    first = of(checked, min(expected))
    assert first.what.startswith("decide counter.add.v1 (c")
    assert words in first.now


def _stumbles(state: Count, event: Added) -> Count:
    if state.adds == 299:
        raise RuntimeError("cannot become that")
    return Count(state.total + event.n, state.adds + 1)


def _stumbles_aloud(state: Count, _: Added) -> tuple[Reaction, ...]:
    if state.adds == 3:
        raise RuntimeError("cannot say that")
    return ()


class Renamed(Event, frozen=True, tag="counter.renamed.v1"):
    n: int


BROKEN: list[tuple[Kind[Any], list[tuple[Address, int]], str]] = [
    (replace(COUNTER, evolve=_stumbles), [(C1, 300)], "evolve"),
    (replace(COUNTER, react=_stumbles_aloud), [(C1, 3)], "react"),
    (replace(COUNTER, events=(Renamed,)), [(C1, 1), (C2, 1)], "read the event"),
]


@pytest.mark.parametrize(("kind", "expected", "doing"), BROKEN, ids=["evolve", "react", "decode"])
async def test_a_history_that_cannot_be_lived_is_found_with_its_event(
    history: EventStore, kind: Kind[Any], expected: Sequence[tuple[Address, int]], doing: str
) -> None:
    checked = await check(history, kind)
    assert found(checked) == expected
    assert of(checked, C1).what == doing
    assert of(checked, C1).expected == "counter.added.v1"


class AddedNow(Event, frozen=True, tag="counter.added.v2", omit_defaults=True):
    amount: int
    trouble: str = ""


def _upcast(fields: dict[str, Any]) -> dict[str, Any]:
    return {"amount": fields["n"], "trouble": fields.get("trouble", "")}


def _adds_now(_: Count, command: Add) -> tuple[Event, ...]:
    return (AddedNow(command.n),) if command.n > 0 else ()


def _counts_now(state: Count, event: AddedNow) -> Count:
    return Count(state.total + event.amount, state.adds + 1)


async def test_a_new_event_whose_upcast_says_the_same_is_no_difference(history: EventStore) -> None:
    retired = (Upcast("counter.added.v1", "counter.added.v2", _upcast),)
    now: Any = replace(COUNTER, events=(AddedNow,), decide=_adds_now, evolve=_counts_now, retired=retired)
    assert (await check(history, now)).diverging == {}
    wrong = (Upcast("counter.added.v1", "counter.added.v2", lambda fields: {"amount": fields["n"] + 1}),)
    checked = await check(history, replace(now, retired=wrong))
    assert found(checked) == [(C1, 1), (C2, 1)]


def _plays_alone(_: Hits, __: Event) -> tuple[Reaction, ...]:
    return ()


def _plays_to_another(state: Hits, event: Any) -> tuple[Reaction, ...]:
    if event.rallies == 0:
        return ()
    return (Send("player", "nobody", Ball(state.name, event.n, event.rallies - 1)),)


def _plays_higher(state: Hits, event: Any) -> tuple[Reaction, ...]:
    if event.rallies == 0:
        return ()
    return (Send("player", event.to, Ball(state.name, event.n, event.rallies + 7)),)


async def test_a_send_that_would_not_be_made_again_is_found_at_its_sender(history: EventStore) -> None:
    for react, now in ((_plays_alone, "none"), (_plays_to_another, "one to demo/player/nobody")):
        checked = await check(history, replace(PLAYER, react=react))
        assert {address for address, _ in found(checked)} == {LEFT, RIGHT}
        assert (of(checked, LEFT).version, of(checked, LEFT).now) == (1, now)
    checked = await check(history, replace(PLAYER, react=_plays_higher))
    assert of(checked, RIGHT).now.endswith("differs in rallies"), "what was accepted is decided as it would be sent"
    # The ball that waits is compared with what its sender would send.
    alone = await check(history, replace(PLAYER, react=_plays_higher), kind="player")
    assert WAITING not in alone.diverging


def _other_work(_: counting.Idle, event: Event) -> tuple[Reaction, ...]:
    match event:
        case counting.Begun(job=job, after_s=after_s) if after_s < 0:
            return (Effect("job", Job(job.upper()), "repeatable"),)
        case counting.Begun(job=job, after_s=after_s):
            return (Timer("later", after_s, counting.Remind(job)),)
        case _:
            return (Cancel("late"),)


def _no_work(_: counting.Idle, __: Event) -> tuple[Reaction, ...]:
    return ()


async def test_effects_and_timers_that_would_be_others_are_found(history: EventStore) -> None:
    checked = await check(history, replace(WORKER, react=_no_work))
    assert found(checked) == [(W1, 1), (W3, 1), (W4, 1)]
    assert of(checked, W1).what == "react: the effect worker/w1@1.0"
    assert of(checked, W4).now == "none"
    assert checked.unkept == 1, "what the timer of w2 said can be had from nobody now"
    checked = await check(history, replace(WORKER, react=_other_work))
    assert found(checked) == [(W3, 1), (W4, 1)], "the work of w1 is over"
    assert of(checked, W3).now == "another content or receiver"


async def test_what_is_under_way_must_be_understood(history: EventStore) -> None:
    fewer: Any = replace(WORKER, commands=(Begin, counting.Forget, Report))
    assert fewer.decides == {"worker.begin.v1", "worker.forget.v1", "worker.report.v1"}
    checked = await check(history, fewer)
    assert of(checked, W4) == Divergence(W4, 0, "timer late", "worker.remind.v1", "worker decides no such command")
    assert found(checked) == [(W4, 0)]
    assert checked.retired == 1, "the reminder of w2 is decided no more, and need not be"
    assert found(await check(history, works={})) == [(W3, 0)]

    class Other(msgspec.Struct, frozen=True):
        pages: int

    checked = await check(history, works={"job": Other})
    assert "cannot read the work" in of(checked, W3).now


async def test_a_kind_that_is_gone_is_found_with_all_its_actors(history: EventStore) -> None:
    checked = await check(history, without="player")
    assert found(checked) == [(LEFT, 1), (RIGHT, 1), (WAITING, 0)]
    assert of(checked, LEFT).now == "there is none of that name"


async def test_a_kind_and_a_sample_narrow_what_is_looked_at(history: EventStore) -> None:
    broken = replace(COUNTER, decide=_breaks)
    assert found(await check(history, broken, kind="worker")) == []
    checked = await check(history, broken, kind="counter")
    assert (found(checked), checked.actors) == ([(C1, 1), (C2, 1)], 2)
    sampled = await check(history, broken, sample=1)
    assert len(sampled.diverging) == 1
    assert sampled.actors == 3
    again = await check(history, broken, sample=1)
    assert again.diverging == sampled.diverging, "the same sample"
    assert (await check(history, sample=1)).diverging == {}, "what an actor outside of it sent is not missed"


class Order(Command, frozen=True, tag="counter.order.v1", omit_defaults=True):
    n: int
    ask: str = ""


def _keeps_ask(_: Count, command: Order) -> tuple[Event, ...]:
    return (Added(command.n, command.ask or "nobody asked"),)


def _withdrawn(id_: str) -> Command:
    return Order(7, id_)


async def test_asks_and_withdrawals_are_heard_as_they_were() -> None:
    """What the runtime puts into a command, or makes of one, is part of what was decided."""
    orders: Any = replace(COUNTER, commands=(Order,), external=(Order,), later=(Order,), decide=_keeps_ask)
    orders = replace(orders, cancelled=_withdrawn)
    store = MemoryStore()
    await (await Turns.of(store, {"counter": orders})).tell("counter", "c1", Order(1), CancelCommand("counter-1"))
    assert [event.body for event in await store.read_stream(C1)] == [
        b'{"type":"counter.added.v1","n":1,"trouble":"counter-1"}',
        b'{"type":"counter.added.v1","n":7,"trouble":"counter-1"}',
    ]
    checked = await check(store, orders)
    assert (checked.diverging, checked.decided) == ({}, 2)
    assert found(await check(store, replace(orders, later=()))) == [(C1, 1)]
    assert found(await check(store, replace(orders, cancelled=None))) == [(C1, 2)]


async def test_a_company_may_run_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes while the check reads: the same code never diverges."""
    store = MemoryStore()
    turns = await write_history(store)
    read, more, one_by_one = store.histories.commands, 0, anyio.Lock()

    async def commands(address: Address, ids: Collection[str]) -> dict[str, SettledCommand]:
        nonlocal more
        more += 1
        async with one_by_one:
            await turns.tell("counter", "c1", Add(1))
            await turns.tell("worker", "w3", Begin("more"))
            await turns.tell("worker", "w4", Begin("later", 10.0**8))
            await turns.tell("player", f"new{more}", Serve("waiting", 1))
            await turns.deliver(WAITING)
        return await read(address, ids)

    monkeypatch.setattr(store.histories, "commands", commands)
    checked = await check(store)
    assert checked.diverging == {}
    assert checked.unkept == 0
    assert more > 5


async def test_a_store_that_is_away_is_told_as_itself(history: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(address: Address, ids: Collection[str]) -> dict[str, SettledCommand]:
        raise StoreUnavailable("the server is away")

    monkeypatch.setattr(history.histories, "commands", away)
    with pytest.raises(StoreUnavailable):
        await check(history)


async def test_beyond_a_bound_diverging_actors_are_only_counted(
    history: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "DIVERGING_MAX", 2)
    checked = await check(history, without="player")
    assert (len(checked.diverging), checked.unnamed) == (2, 1)


async def test_an_empty_log_has_nothing_to_check() -> None:
    assert await check(MemoryStore()) == Checked()


class Unwritten(Command, frozen=True, tag="counter.unwritten.v1"):
    pass


async def test_a_new_command_changes_nothing(history: EventStore) -> None:
    more: Any = replace(COUNTER, commands=(Add, Unwritten))
    assert (await check(history, more)).diverging == {}
