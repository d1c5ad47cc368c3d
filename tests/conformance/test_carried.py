"""What a commit carries besides events: deadlines by the store's clock, asks that are answered later, parked actors."""

from datetime import UTC, datetime, timedelta

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


@pytest.mark.parametrize(
    "more",
    [
        {"asks": (NewAsk("", "_INBOX.a", FAR, "run"),)},
        {"asks": (NewAsk("c1", "_INBOX.a", FAR.replace(tzinfo=None), "run"),)},
        {"answers": (Answer("x" * 600, b""),)},
        {"parks": (Parking(Address("other", "counter", "c1"), "elsewhere"),)},
        {"waits": (Waiting(actor("t1"), "w\0", "t", b"", b"", NOON, "run"),)},
    ],
)
async def test_what_cannot_be_stored_is_told_before_anything_is_sent(
    store: EventStore, owner: Owner, more: dict[str, object]
) -> None:
    with pytest.raises(InvalidUnit):
        await owner.commit(settling(external("c1"), **more))
    assert await store.head() == 0
