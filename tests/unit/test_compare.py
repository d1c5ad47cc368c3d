"""Yesterday's commands decided again: every decision that differs is named, whatever came of the command then, and no
other."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from actors.runtime import differences, redeciding
from actors.runtime.compare import Compare
from actors.runtime.differences import (
    CUT,
    NO_KIND,
    PARKED,
    QUARANTINED,
    UNLIVABLE,
    WITHHELD,
    Comparison,
    Difference,
)
from actors.runtime.kind import Effect, Kind, Kinds, Reaction
from eventstore.memory.store import MemoryStore
from eventstore.store import EventStore, Settled
from protocol.message import Event, Refusal
from tests.kit.counting import COUNTER, KINDS, PLAYER, WORKER, Add, Added, Begun, Count, Idle, Job
from tests.kit.histories import C1, C2, LEFT, W1, W2, W3, W4, at, write_history
from tests.kit.turns import Turns
from tests.kit.units import Owner, unit


@pytest.fixture
async def history() -> EventStore:
    store = MemoryStore()
    await write_history(store)
    return store


async def compare(
    store: EventStore, *changed: Kind[Any], first: int = 1, last: int | None = None, kind: str = "", without: str = ""
) -> Comparison:
    kinds: Kinds = {name: each for name, each in (KINDS | {k.name: k for k in changed}).items() if name != without}
    head = await store.head()
    return await Compare(store, kinds, first, head if last is None else last, head, kind).run()


def decides(decide: Callable[[Count, Add], tuple[Event, ...]]) -> Kind[Any]:
    return replace(COUNTER, decide=decide)


def brief(found: Difference) -> tuple[str, str, str]:
    return str(found.address).removeprefix("demo/"), found.then, found.now


async def test_the_same_code_decides_the_same(history: EventStore) -> None:
    found = await compare(history)
    assert found.differences == []
    assert found.differing.total() == found.unnamed == 0
    assert found.skipped == {}
    assert found.compared["counter", "counter.add.v1"] == 452, "accepted, silent and refused"
    assert found.compared["worker", "worker.report.v1"] == 1, "the outcome of an effect"
    assert found.compared["worker", "worker.remind.v1"] == 1, "a firing"
    assert found.compared["player", "player.ball.v1"] == 3, "sends"
    assert (found.events, found.last) == (await history.head(), await history.head())


async def test_an_accepted_command_that_would_be_decided_otherwise(history: EventStore) -> None:
    def more(_: Count, command: Add) -> tuple[Event, ...]:
        if command.n < 0:
            raise Refusal("negative", "no")
        return (Added(command.n + (command.n > 4)),) if command.n else ()

    (found,) = (await compare(history, decides(more))).differences
    assert brief(found) == ("counter/c2", "counter.added.v1", "counter.added.v1")
    assert (found.what, found.type, found.version, found.fields) == (
        "decision", "counter.add.v1", 1, ((1, "counter.added.v1", "n", 5, 6),)
    )  # fmt: skip
    (event,) = await history.read_stream(C2)
    assert (found.id, found.position, found.at) == (event.causation, event.position, event.at)


async def test_a_refused_command_that_would_be_taken_or_refused_for_something_else(history: EventStore) -> None:
    def takes(_: Count, command: Add) -> tuple[Event, ...]:
        return (Added(command.n),) if command.n else ()

    def else_(_: Count, command: Add) -> tuple[Event, ...]:
        if command.n < 0:
            raise Refusal("too-small", "no")
        return (Added(command.n),) if command.n else ()

    (found,) = (await compare(history, decides(takes))).differences
    assert brief(found) == ("counter/c2", "refused: negative", "counter.added.v1")
    (found,) = (await compare(history, decides(else_))).differences
    assert brief(found) == ("counter/c2", "refused: negative", "refused: too-small")


async def test_a_silent_command_that_would_not_be(history: EventStore) -> None:
    def loud(_: Count, command: Add) -> tuple[Event, ...]:
        if command.n < 0:
            raise Refusal("negative", "no")
        return (Added(command.n),)

    found = await compare(history, decides(loud))
    assert found.differing == {("counter", "counter.add.v1"): 150}
    assert {brief(each) for each in found.differences} == {("counter/c1", "silence", "counter.added.v1")}
    assert len({each.id for each in found.differences}) == 150


async def test_an_error_is_a_difference_too(history: EventStore) -> None:
    def breaks(_: Count, command: Add) -> tuple[Event, ...]:
        raise KeyError(command.n)

    found = await compare(history, decides(breaks))
    assert found.differing.total() == 452
    assert {each.now for each in found.differences} == {"KeyError"}


async def test_one_that_hangs_on_the_state_is_found_where_the_state_differs() -> None:
    """Told when nothing else was under way, so that its place is known."""
    store = MemoryStore()
    turns = await Turns.of(store, KINDS)
    for n in (1, 0, 2, 0, 3, 0):
        await turns.tell("counter", "c1", Add(n))
        await turns.tell("counter", "other", Add(1))
        await turns.tell("counter", "other", Add(1))

    def bored(state: Count, command: Add) -> tuple[Event, ...]:
        if not command.n and state.total == 3:
            raise Refusal("bored", "of that")
        return (Added(command.n),) if command.n else ()

    (found,) = (await compare(store, decides(bored))).differences
    assert brief(found) == ("counter/c1", "silence", "refused: bored")
    assert (found.id, found.version, found.position) == ("counter-10", 2, 8)


async def test_silence_in_the_very_turn_of_events_is_never_wrongly_named() -> None:
    """Its place among them is not known: it is compared with each."""
    store = MemoryStore()
    turns = await Turns.of(store, KINDS)
    await turns.tell("counter", "c1", Add(1), Add(0), Add(2), Add(-1), Add(3), Add(0))

    def once(state: Count, command: Add) -> tuple[Event, ...]:
        if command.n < 0 and state.total == 3:
            raise Refusal("negative", "now")
        if command.n < 0:
            raise Refusal("never-met", "no")
        return (Added(command.n),) if command.n else ()

    assert (await compare(store, decides(once))).differences == []


async def test_a_range_has_its_own_commands(history: EventStore) -> None:
    def loud(_: Count, command: Add) -> tuple[Event, ...]:
        return (Added(abs(command.n) + 1),)

    head = await history.head()
    whole = await compare(history, decides(loud))
    cut = 301  # Between two commits.
    parts = [await compare(history, decides(loud), last=cut), await compare(history, decides(loud), first=cut + 1)]
    assert sum(part.compared.total() + part.skipped[CUT] for part in parts) == whole.compared.total()
    ids = [{each.id for each in part.differences} for part in parts]
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] <= {each.id for each in whole.differences}
    assert (await compare(history, decides(loud), first=head + 1, last=head)).compared.total() <= 3
    assert (await compare(history, decides(loud), kind="player")).differences == []


async def test_what_is_no_longer_sent_or_wanted(history: EventStore) -> None:
    def nothing(*_: object) -> tuple[Reaction, ...]:
        return ()

    found = await compare(history, replace(WORKER, react=nothing))
    assert {(each.address, each.what, each.then) for each in found.differences} >= {
        (W1, "reaction", "it is wanted"), (W3, "reaction", "job for demo/worker/w3"),
        (W4, "reaction", "worker.remind.v1"),
    }  # fmt: skip
    found = await compare(history, replace(PLAYER, react=nothing))
    assert {each.what for each in found.differences} == {"reaction"}
    assert LEFT in {each.address for each in found.differences}


async def test_an_effect_that_was_never_wanted_is_named(history: EventStore) -> None:
    def eager(state: Idle, event: Event) -> tuple[Reaction, ...]:
        more = (Effect("job", Job("more"), "repeatable"),)
        return (*WORKER.react(state, event), *(more if isinstance(event, Begun) and event.job == "call" else ()))

    (found,) = (await compare(history, replace(WORKER, react=eager))).differences
    assert (found.address, found.version, found.then, found.now) == (W2, 1, "none", "it is wanted (job)")
    assert found.id == "the effect worker/w2@1.1"


async def test_a_kind_that_is_gone_or_a_history_that_cannot_be_lived(history: EventStore) -> None:
    found = await compare(history, without="counter")
    assert {each.address for each in found.differences} == {C1, C2}
    assert {(each.what, each.now) for each in found.differences} == {("history", NO_KIND)}
    assert found.skipped[NO_KIND] == 151

    def stumbles(state: Count, event: Added) -> Count:
        if state.adds == 99:
            raise RuntimeError
        return COUNTER.evolve(state, event)

    found = await compare(history, replace(COUNTER, evolve=stumbles))
    assert [(each.address, each.version, each.now) for each in found.differences] == [(C1, 100, "RuntimeError")]
    assert found.skipped[UNLIVABLE] == 150


async def test_what_cannot_be_compared_is_counted() -> None:
    store = MemoryStore()
    owner = await Owner.of(store, 0)

    def row(id_: str, outcome: Any, detail: str, body: bytes = b'{"type":"counter.add.v1"}') -> Settled:
        return Settled(id_, "counter.add.v1", outcome, detail, headers=b"{}", body=body)

    rows = (
        row("late", "refused", "expired: too late"), row("gone", "refused", "cancelled: it was withdrawn"),
        row("parked", "parked", "parked: it broke"), row("bad", "quarantined", "KeyError"),
        row("unheard", "refused", "malformed: no", b'{"withheld_bytes":7}'), row("odd", "refused", "malformed: no"),
    )  # fmt: skip
    await owner.commit(unit("c1", None, None, settled=rows, events=0, address=at("counter", "c1")))
    found = await compare(store)
    assert found.skipped == {
        QUARANTINED: 1, PARKED: 1, WITHHELD: 1, "they were refused for their circumstances (expired)": 1,
        "they were refused for their circumstances (cancelled)": 1,
    }  # fmt: skip
    (one,) = found.differences
    assert brief(one) == ("counter/c1", "refused: malformed", "counter.added.v1"), "an actor without any event"


async def test_what_nobody_outside_may_say_any_more(history: EventStore) -> None:
    found = await compare(history, replace(WORKER, external=()))
    assert {each.type for each in found.differences} == {"worker.begin.v1"}
    assert {(each.then, each.now) for each in found.differences} == {("worker.begun.v1", "refused: internal")}


async def test_memory_is_bounded(history: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def loud(_: Count, command: Add) -> tuple[Event, ...]:
        return (Added(abs(command.n) + 1),)

    monkeypatch.setattr(differences, "NAMED_MAX", 5)
    found = await compare(history, decides(loud))
    assert (len(found.differences), found.unnamed) == (5, 447)
    monkeypatch.setattr(redeciding, "OPEN_MAX", 3)
    monkeypatch.setattr(redeciding, "EVENTLESS_MAX", 2)
    found = await compare(history, decides(loud))
    assert found.skipped[redeciding.CROWDED] + found.compared.total() >= 452
