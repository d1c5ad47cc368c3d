"""What a commit carries besides events: deadlines by the store's clock, asks that are answered later, parked actors."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from eventstore.records import Answer, NewAsk, Parking, Settled, Unit, Waiting
from eventstore.store import EventStore, InvalidUnit
from protocol.subjects import Address
from tests.kit.carried import Carried, carried_by
from tests.kit.units import NOON, Owner, actor, external, unit

LONG_PAST, FAR = datetime(2000, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=365)


def settling(*commands: Settled, name: str = "t1", **more: object) -> Unit:
    return msgspec.structs.replace(unit(name, address=actor(name)), settled=commands, **more)


def until(deadline: datetime, id_: str = "c1") -> Settled:
    return msgspec.structs.replace(external(id_), deadline=deadline)


@pytest.fixture
async def owner(store: EventStore) -> Owner:
    return await Owner.of(store)


@pytest.fixture
def carried(store: EventStore) -> Carried:
    return carried_by(store)


async def statuses(owner: Owner, *units: Unit) -> list[str]:
    return [verdict.status for verdict in await owner.commit(*units)]


async def test_in_time_a_deadline_changes_nothing(store: EventStore, owner: Owner) -> None:
    assert await statuses(owner, settling(until(FAR))) == ["committed"]
    assert await store.head() == 1


async def test_past_the_deadline_nothing_of_the_unit_happens_and_others_are_not_touched(
    store: EventStore, owner: Owner
) -> None:
    late = settling(until(LONG_PAST, "late"), until(FAR, "in time"), external("for ever"))
    other = settling(until(FAR, "other"), name="t2")
    expired, committed = await owner.commit(late, other)
    assert (expired.status, expired.known) == ("expired", ("late",))
    assert (committed.status, committed.first_position) == ("committed", 1)
    assert set(await store.inbox("demo", ["late", "in time", "for ever", "other"])) == {"other"}
    assert await statuses(owner, settling(external("late"), until(FAR, "in time"), external("for ever"))) == [
        "committed"
    ]


async def test_a_late_unit_keeps_the_cursor_of_its_partition(store: EventStore, owner: Owner) -> None:
    await owner.commit(settling(until(FAR, "c0"), name="t2"), cursor=5)
    await owner.commit(settling(until(LONG_PAST)), cursor=9)
    lowest = await store.workers.lowest()
    assert lowest is not None
    assert lowest.cursor == 5


async def test_what_happened_in_time_is_known_and_not_late_when_it_is_sent_again(
    store: EventStore, owner: Owner
) -> None:
    await owner.commit(settling(external("c1")))
    (again,) = await owner.commit(settling(until(LONG_PAST)))
    assert (again.status, again.known) == ("known", ("c1",))
    (stranger,) = await owner.commit(settling(until(LONG_PAST, "c2"), partition=7))
    assert stranger.status == "fenced"
    (moved,) = await owner.commit(settling(until(LONG_PAST, "c2")))
    assert (moved.status, moved.known) == ("expired", ("c2",)), "its stream has moved on as well"


async def test_of_two_that_want_the_same_the_late_one_is_not_in_the_way(store: EventStore, owner: Owner) -> None:
    late, twin = settling(until(LONG_PAST), name="t1"), settling(until(FAR), name="t1")
    expired, committed = await owner.commit(late, twin)
    assert (expired.status, committed.status) == ("expired", "committed")


async def test_an_ask_is_opened_and_answered_once(store: EventStore, owner: Owner, carried: Carried) -> None:
    ask = NewAsk("c1", "_INBOX.a", FAR, "run")
    opening = settling(external("c1"), asks=(ask,))
    assert await statuses(owner, opening) == ["committed"]
    assert await carried.asks() == {"c1": (actor("t1"), "_INBOX.a", FAR, "run", None)}
    assert await statuses(owner, opening) == ["known"]
    for n, answer in enumerate((b"first", b"second"), start=2):
        answering = settling(external(f"c{n}"), name="t2", answers=(Answer("c1", answer), Answer("none", b"x")))
        answering = msgspec.structs.replace(answering, expected=n - 2)
        assert await statuses(owner, answering) == ["committed"]
    assert await carried.asks() == {"c1": (actor("t1"), "_INBOX.a", FAR, "run", b"first")}


async def test_one_unit_may_ask_and_another_of_the_batch_answer(owner: Owner, carried: Carried) -> None:
    asking = settling(external("c1"), asks=(NewAsk("c1", "_INBOX.a", FAR, "run"),))
    answering = settling(external("c2"), name="t2", answers=(Answer("c1", b"at once"),))
    assert await statuses(owner, asking, answering) == ["committed", "committed"]
    assert {id_: row[-1] for id_, row in (await carried.asks()).items()} == {"c1": b"at once"}


async def test_the_first_answer_in_the_order_of_the_batch_counts(owner: Owner, carried: Carried) -> None:
    asks = tuple(NewAsk(f"q{n}", "_INBOX.a", FAR, "run") for n in range(3))
    assert await statuses(owner, settling(external("c0"), asks=asks)) == ["committed"]
    units = [
        settling(
            external(f"c{n}"),
            name=f"a{n}",
            answers=tuple(Answer(ask.id, b"%s said %d" % (ask.id.encode(), n)) for ask in asks[: n + 1]),
            **({"expected": 9} if n == 1 else {}),
        )
        for n in (1, 2, 3)
    ]
    assert await statuses(owner, *units) == ["conflict", "committed", "committed"]
    assert {id_: row[-1] for id_, row in (await carried.asks()).items()} == {
        ask.id: ask.id.encode() + b" said 2" for ask in asks
    }


async def test_an_ask_that_is_there_is_not_opened_again(owner: Owner, carried: Carried) -> None:
    for n, inbox in enumerate(("_INBOX.a", "_INBOX.b")):
        asks = (NewAsk("q", inbox, FAR, "run"), NewAsk("q", "_INBOX.c", FAR, "run"))
        assert await statuses(owner, settling(external(f"c{n}"), name=f"a{n}", asks=asks)) == ["committed"]
    assert await carried.asks() == {"q": (actor("a0"), "_INBOX.a", FAR, "run", None)}


async def test_an_actor_is_parked_and_what_waits_for_it_keeps_its_order(owner: Owner, carried: Carried) -> None:
    parked = actor("t1")
    waits = tuple(
        Waiting(
            parked, f"w{n}", "counter.add.v1", b"body %d" % n, b"headers", NOON, "run", FAR if n else None, "_INBOX.a"
        )
        for n in range(3)
    )
    rows = tuple(msgspec.structs.replace(external(w.id), outcome="parked", detail="parked: it broke") for w in waits)
    parking = settling(external("killer"), parks=(Parking(parked, "it broke"),))
    waiting = msgspec.structs.replace(settling(*rows, name="t2"), address=parked, expected=None, events=(), waits=waits)
    assert await statuses(owner, parking, waiting) == ["committed", "committed"]
    assert await carried.parked() == {parked: "it broke"}
    assert await carried.waiting() == list(waits)
    again = msgspec.structs.replace(parking, settled=(external("c9"),), parks=(Parking(parked, "again"),), expected=1)
    assert await statuses(owner, again, waiting) == ["committed", "known"]
    assert await carried.parked() == {parked: "it broke"}
    assert await carried.waiting() == list(waits)


async def test_a_unit_that_loses_carries_nothing(owner: Owner, carried: Carried) -> None:
    everything = settling(
        external("c1"),
        asks=(NewAsk("c1", "_INBOX.a", FAR, "run"),),
        parks=(Parking(actor("t3"), "broke"),),
        waits=(Waiting(actor("t3"), "w1", "t", b"", b"", NOON, "run"),),
    )
    assert await statuses(owner, msgspec.structs.replace(everything, expected=7)) == ["conflict"]
    late = msgspec.structs.replace(everything, settled=(until(LONG_PAST),))
    assert await statuses(owner, late) == ["expired"]
    assert (await carried.asks(), await carried.parked(), await carried.waiting()) == ({}, {}, [])


async def test_a_fork_has_the_actors_that_were_parked_by_then_and_no_asks(store: EventStore, owner: Owner) -> None:
    def keeps(name: str, command: str, expected: int | None, events: int) -> Unit:
        kept = Waiting(actor(name), command, "t", b"{}", b"{}", NOON, "run")
        parked = unit(name, expected, command, events, waits=(kept,), parks=(Parking(actor(name), f"{command} broke"),))
        return msgspec.structs.replace(parked, asks=(NewAsk(command, "_INBOX.a", FAR, "run"),))

    await owner.commit(unit("t0", 0, "c0"), keeps("t1", "k1", 0, 1))  # Positions 1 and 2, one commit.
    await owner.commit(keeps("t1", "w1", None, 0))
    await owner.commit(keeps("t2", "k2", 0, 1))
    expected = {0: [], 1: [], 2: ["k1", "w1"], 3: ["k1", "w1", "k2"]}
    for position, commands in expected.items():
        async with store.forks.creating(position, f"f{position}"):
            pass
        async with store.forks.opened(f"f{position}") as fork:
            carried = carried_by(fork)
            assert [each.id for each in await carried.waiting()] == commands
            assert await carried.parked() == {actor(f"t{n}"): f"k{n} broke" for n in (1, 2) if f"k{n}" in commands}
            assert await carried.asks() == {}
            later = await Owner.of(fork)
            await later.commit(keeps("t9", "k9", 0, 1))
            assert [each.id for each in await carried.waiting()] == [*commands, "k9"]
    assert [each.id for each in await carried_by(store).waiting()] == ["k1", "w1", "k2"]


@pytest.mark.parametrize(
    "more",
    [
        {"asks": (NewAsk("", "_INBOX.a", FAR, "run"),)},
        {"asks": (NewAsk("c1", "_INBOX.a", FAR.replace(tzinfo=None), "run"),)},
        {"answers": (Answer("x" * 600, b"yes"),)},
        {"answers": (Answer("c1", b""),)},
        {"parks": (Parking(Address("other", "counter", "c1"), "elsewhere"),)},
        {"waits": (Waiting(actor("t1"), "w\0", "t", b"", b"", NOON, "run"),)},
    ],
)
async def test_what_cannot_be_stored_is_told_before_anything_is_sent(
    store: EventStore, owner: Owner, more: dict[str, Any]
) -> None:
    with pytest.raises(InvalidUnit):
        await owner.commit(settling(external("c1"), **more))
    assert await store.head() == 0
