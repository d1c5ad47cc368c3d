"""What no store takes is refused before anything is sent, in words that say what to do. Holds for every adapter."""

import pytest

from eventstore.store import EVENT_BYTES_MAX, EventStore, InvalidUnit, NewEvent, StoreError, Unit
from tests.kit.units import FUTURE, NOON, PAST, Owner, actor, effect, external, send, timer, unit


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (unit("a2", events=0, settled=(external("c1"), external("c1"))), "twice"),
        (unit("a2", expected=None, command=None, events=0), "settles no command"),
        (unit("a2", command="c\0"), "NUL"),
        (unit("a2", command="\ud800"), "surrogate"),
        (unit("a2", command="c" * 513), "513 characters"),
        (unit("a2", address=actor("a.b")), "cannot be part of a subject"),
        (unit("a2", events=0, sends=(send("s", actor(project="other")),)), "stays in its project"),
        (unit("a2", events=0, timers=(timer("t", FUTURE.replace(tzinfo=None)),)), "no zone"),
        (unit("a2", events=0, timers=(timer("t", FUTURE), timer("t", PAST))), "twice"),
        (unit("a2", events=0, effects=(effect("k" * 513),)), "513 characters"),
        (unit("a2", events=0, cancels=("",)), "use 1 to"),
    ],
)  # fmt: skip
async def test_a_unit_no_store_can_hold_is_named_and_nothing_is_written(owner: Owner, bad: Unit, says: str) -> None:
    with pytest.raises(InvalidUnit, match=says) as caught:
        await owner.commit(unit("a1", command="good"), bad)
    assert caught.value.index == 1
    assert await owner.store.head() == 0


async def test_an_event_too_big_is_refused_with_what_to_do(store: EventStore, owner: Owner) -> None:
    big = NewEvent("task.noted.v1", b"x" * (EVENT_BYTES_MAX + 1), NOON, "run", "c1")
    with pytest.raises(StoreError, match="store the content as a blob"):
        await store.append(actor(), [big])
    with pytest.raises(InvalidUnit, match="store the content as a blob"):
        await owner.commit(unit("a1", events=(big,)))
