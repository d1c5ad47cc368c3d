"""Asks that are answered later: what every store promises of them (eventstore/asks.py)."""

from datetime import datetime, timedelta

from eventstore.asks import EXPIRED, Ask
from eventstore.store import Answer, EventStore, NewAsk
from tests.kit.units import FUTURE, PAST, Owner, actor, external, statuses, unit


def ask(id_: str, deadline: datetime = FUTURE, inbox: str = "") -> NewAsk:
    return NewAsk(id_, inbox or f"_INBOX.{id_}", deadline, "run")


def found(asks: list[Ask]) -> dict[str, bytes | None]:
    return {ask.id: ask.answer for ask in asks}


async def opened(owner: Owner, *asks: NewAsk, name: str = "a1", partition: int = 0, project: str = "demo") -> None:
    settled = tuple(external(ask.id) for ask in asks)
    address = actor(name, project=project)
    (verdict,) = await owner.commit(
        unit(command=None, expected=None, events=0, partition=partition, address=address, settled=settled, asks=asks)
    )
    assert verdict.status == "committed"


async def answers(owner: Owner, *answers: tuple[str, bytes], command: str, project: str = "demo") -> list[str]:
    said = tuple(Answer(id_, body) for id_, body in answers)
    address = actor("other", project=project)
    return statuses(await owner.commit(unit(command=command, expected=None, events=0, address=address, answers=said)))


async def test_an_answer_is_found_under_its_ask(store: EventStore, owner: Owner) -> None:
    await opened(owner, ask("x"), ask("y"))
    assert await store.asks.answered("demo", ["x", "y"]) == []
    assert await answers(owner, ("x", b"yes"), ("nobody", b"no"), command="c") == ["committed"]
    assert await store.asks.answered("demo", ["x", "y", "nobody"]) == [
        Ask("x", actor("a1"), "_INBOX.x", FUTURE, "run", b"yes")
    ]
    assert await store.asks.answered("elsewhere", ["x"]) == []


async def test_the_first_end_counts(store: EventStore, owner: Owner) -> None:
    await opened(owner, ask("x"), ask("late", PAST))
    assert found(await store.asks.expire([0], 9)) == {"late": EXPIRED}
    await answers(owner, ("x", b"first"), ("x", b"second"), ("late", b"too late"), command="c1")
    await answers(owner, ("x", b"third"), command="c2")
    assert found(await store.asks.answered("demo", ["x", "late"])) == {"x": b"first"}
    assert found(await store.asks.repeat("demo", {"x": "_INBOX.x", "late": "_INBOX.x"})) == {
        "x": b"first",
        "late": EXPIRED,
    }


async def test_ids_are_of_one_project(store: EventStore, owner: Owner) -> None:
    await opened(owner, ask("x"))
    await opened(owner, ask("x", inbox="_INBOX.other"), project="other")
    await answers(owner, ("x", b"theirs"), command="c", project="other")
    assert await store.asks.answered("demo", ["x"]) == []
    assert [(a.reply_to, a.answer) for a in await store.asks.answered("other", ["x"])] == [("_INBOX.other", b"theirs")]


async def test_whoever_asked_last_is_told(store: EventStore, owner: Owner) -> None:
    await opened(owner, ask("x"), ask("y"))
    (again,) = await store.asks.repeat("demo", {"x": "_INBOX.new", "nobody": "_INBOX.n"})
    assert (again.reply_to, again.answer) == ("_INBOX.new", None)
    await answers(owner, ("x", b"yes"), ("y", b"no"), command="c")
    told = {a.id: a.reply_to for a in await store.asks.answered("demo", ["x", "y"])}
    assert told == {"x": "_INBOX.new", "y": "_INBOX.y"}
    (again,) = await store.asks.repeat("demo", {"x": "_INBOX.newer"})
    assert (again.reply_to, again.answer) == ("_INBOX.newer", b"yes")


async def test_what_is_open_at_its_deadline_ends_once_in_the_order_of_the_deadlines(
    store: EventStore, owner: Owner
) -> None:
    await opened(owner, *(ask(f"p{n}", PAST + timedelta(seconds=n)) for n in (3, 1, 2)), ask("later"))
    await opened(owner, ask("theirs", PAST), name="b1", partition=1)
    await opened(owner, ask("answered", PAST), name="c1")
    await answers(owner, ("answered", b"yes"), command="c")
    assert [a.id for a in await store.asks.expire([0], 2)] == ["p1", "p2"]
    assert [a.id for a in await store.asks.expire([0], 9)] == ["p3"]
    assert await store.asks.expire([0], 9) == []
    (theirs,) = await store.asks.expire([0, 1], 9)
    assert theirs == Ask("theirs", actor("b1"), "_INBOX.theirs", PAST, "run", EXPIRED)
    assert await store.asks.expire([], 9) == []


async def test_the_next_deadline_is_that_of_an_open_ask_there(store: EventStore, owner: Owner) -> None:
    assert await store.asks.next_deadline_s([0, 1]) is None
    await opened(owner, ask("x", PAST))
    await opened(owner, ask("y"), name="b1", partition=1)
    late, far = await store.asks.next_deadline_s([0]), await store.asks.next_deadline_s([1])
    assert late is not None
    assert far is not None
    assert late < 0 < far
    await store.asks.expire([0], 9)
    assert await store.asks.next_deadline_s([0]) is None
    await answers(owner, ("y", b"yes"), command="c")
    assert await store.asks.next_deadline_s([0, 1]) is None


async def test_what_has_ended_is_forgotten_some_time_after_its_deadline(store: EventStore, owner: Owner) -> None:
    await opened(owner, ask("open", PAST), ask("late", PAST), ask("answered", PAST), ask("far"))
    await answers(owner, ("answered", b"yes"), ("far", b"yes"), command="c")
    everything: dict[str, str] = dict.fromkeys(("open", "late", "answered", "far"), "_INBOX.x")
    assert await store.asks.forget([0], 0, 9) == 1
    assert found(await store.asks.repeat("demo", everything)) == {"open": None, "late": None, "far": b"yes"}
    await store.asks.expire([0], 9)
    assert await store.asks.forget([0], 1e9, 9) == 0
    assert await store.asks.forget([1], 0, 9) == 0
    assert await store.asks.forget([0], 0, 1) == 1
    assert await store.asks.forget([0], 0, 9) == 1
    assert found(await store.asks.repeat("demo", everything)) == {"far": b"yes"}


async def test_an_ask_and_its_answer_in_one_unit(store: EventStore, owner: Owner) -> None:
    at_once = unit(command="x", asks=(ask("x"),), answers=(Answer("x", b"yes"),))
    assert statuses(await owner.commit(at_once)) == ["committed"]
    assert found(await store.asks.answered("demo", ["x"])) == {"x": b"yes"}
    assert statuses(await owner.commit(at_once)) == ["known"], "sent again after a lost connection"
    assert found(await store.asks.answered("demo", ["x"])) == {"x": b"yes"}


async def test_a_unit_that_loses_asks_and_answers_nothing(store: EventStore, owner: Owner) -> None:
    await opened(owner, ask("x"))
    loses = unit(expected=7, command="c", asks=(ask("y"),), answers=(Answer("x", b"yes"),))
    assert statuses(await owner.commit(loses)) == ["conflict"]
    assert found(await store.asks.repeat("demo", {"x": "_INBOX.x", "y": "_INBOX.y"})) == {"x": None}
