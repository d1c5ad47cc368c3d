"""Traces that were given: what every store promises of them (eventstore/traces.py)."""

from uuid import uuid4

import pytest

from eventstore.store import Answer, EffectOutcome, EventStore, NewAsk, Parking, Settled, Traced, Unit, Waiting
from eventstore.traces import key_of
from protocol.subjects import partition_of
from tests.kit.units import (
    FUTURE,
    NOON,
    PAST,
    Owner,
    accepts,
    actor,
    effect,
    external,
    send,
    statuses,
    timer,
    unit,
)

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WITH_STATE = f"{GIVEN} a=1,b=2"
A1 = Traced("task/a1@1", GIVEN)


async def traced(store: EventStore, owner: Owner) -> None:
    """An event with everything that can follow from one, in a given trace."""
    sends, timers, effects = (send("task/a1@1.0", actor("b1")),), (timer("late", PAST),), (effect("task/a1@1.1"),)
    (verdict,) = await owner.commit(unit(sends=sends, timers=timers, effects=effects, traces=(A1,)))
    assert verdict.status == "committed"


async def test_a_send_is_handed_out_with_its_trace(store: EventStore, owner: Owner) -> None:
    await traced(store, owner)
    await owner.commit(unit("a2", command="c2", sends=(send("task/a2@1.0", actor("b1")),)))
    rows = await store.pending_sends([actor("b1")], 9)
    assert [row.trace for row in rows] == [GIVEN, GIVEN], "the kit's sends all name task/a1@1 as their cause"
    assert await store.traces.given([("demo", "task/a1@1"), ("demo", "task/a2@1"), ("other", "task/a1@1")]) == {
        ("demo", "task/a1@1"): GIVEN
    }


async def test_what_follows_from_no_given_trace_has_none(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit(sends=(send("task/a1@1.0", actor("b1")),), effects=(effect("task/a1@1.1"),)))
    assert [row.trace for row in await store.pending_sends([actor("b1")], 9)] == [""]
    assert [e.trace for e in await store.claim_effects(["tool"], uuid4(), 60, 9)] == [""]
    assert await store.traces.given([("demo", "task/a1@1")]) == {}
    assert await store.traces.given([]) == {}


async def test_a_timer_that_has_fired_keeps_its_trace(store: EventStore, owner: Owner) -> None:
    await traced(store, owner)
    assert await store.fire_timers(9) == [actor()]
    (fired,) = await store.pending_sends([actor()], 9)
    assert (fired.trace, fired.causation) == (GIVEN, "task/a1@1")


async def test_an_effect_its_retry_and_its_outcome_keep_their_trace(store: EventStore, owner: Owner) -> None:
    await traced(store, owner)
    (first,) = await store.claim_effects(["tool"], uuid4(), 60, 9)
    await store.retry_effect(first, 0.0)
    (again,) = await store.claim_effects(["tool"], uuid4(), 60, 9)
    assert (first.trace, again.trace) == (GIVEN, GIVEN)
    assert await store.finish_effect(again, EffectOutcome("task.note.v1", b"{}", NOON), 0)
    (outcome,) = await store.pending_sends([actor()], 9)
    assert (outcome.id, outcome.trace) == ("task/a1@1.1:outcome", GIVEN)


async def test_a_doubted_effect_is_told_and_settled_in_its_trace(store: EventStore, owner: Owner) -> None:
    await traced(store, owner)
    (claimed,) = await store.claim_effects(["tool"], uuid4(), 60, 9)
    assert await store.effects.doubt(claimed, "who knows", EffectOutcome("task.note.v1", b"{}", NOON), 0)
    assert [row.trace for row in await store.pending_sends([actor()], 9)] == [GIVEN]
    await store.effects.settle("demo", "task/a1@1.1", "done", "it was")
    (decided,) = await store.effects.claim_decided(["tool"], uuid4(), 60, 9)
    assert decided.trace == GIVEN


async def test_an_ask_is_answered_and_expires_in_its_trace(store: EventStore, owner: Owner) -> None:
    asks = NewAsk("x", "_INBOX.x", FUTURE, "run"), NewAsk("late", "_INBOX.late", PAST, "run")
    traces = Traced("x", WITH_STATE), Traced("late", GIVEN)
    settled = external("x"), external("late")
    await owner.commit(unit(command=None, expected=None, events=0, settled=settled, asks=asks, traces=traces))
    await owner.commit(unit(command="c", expected=None, events=0, answers=(Answer("x", b"yes"),)))
    assert [a.trace for a in await store.asks.answered("demo", ["x"])] == [WITH_STATE]
    assert [a.trace for a in await store.asks.repeat("demo", {"x": "_INBOX.x"})] == [WITH_STATE]
    assert [a.trace for a in await store.asks.expire([0], 9)] == [GIVEN]


@pytest.mark.parametrize("again", [True, False], ids=["retried", "dropped"])
async def test_what_waited_for_a_parked_actor_goes_on_in_its_trace(store: EventStore, again: bool) -> None:
    b1 = actor("b1")
    owner = await Owner.of(store, partition_of(b1))
    mail = (send("task/a1@1.0", b1, partition_of(b1)),)
    assert statuses(await owner.commit(unit(partition=partition_of(b1), sends=mail, traces=(A1,)))) == ["committed"]
    (row,) = await store.pending_sends([b1], 9)
    waits = tuple(Waiting(b1, id_, "task.note.v1", b"{}", b"{}", NOON, "run") for id_ in (row.id, "c.2", "c.3"))
    rows = accepts(row.outbox_id, row.id), external("c.2"), external("c.3")
    kept = Unit(
        partition_of(b1),
        b1,
        None,
        rows,
        parks=(Parking(b1, "broke"),),
        waits=waits,
        traces=(Traced("c.2", WITH_STATE),),
    )
    assert statuses(await owner.commit(kept)) == ["committed"]
    assert await (store.dead.retry if again else store.dead.drop)(b1) is not None
    found = {row.id: row.trace for row in await store.pending_sends([b1], 9) if row.causation.startswith("runtime/")}
    killer = {"task/a1@1.0": GIVEN} if again else {}
    assert found == {**killer, "c.2": WITH_STATE, "c.3": ""}


async def test_only_who_wins_is_known_and_a_repetition_changes_nothing(store: EventStore, owner: Owner) -> None:
    won, lost = unit(traces=(A1,)), unit("a2", expected=7, command="c2", traces=(Traced("task/a2@8", GIVEN),))
    assert statuses(await owner.commit(won, lost)) == ["committed", "conflict"]
    other = unit(expected=1, traces=(Traced("task/a1@1", WITH_STATE),), command="c3")
    assert statuses(await owner.commit(won)) == ["known"]
    assert statuses(await owner.commit(other)) == ["committed"]
    keys = [("demo", "task/a1@1"), ("demo", "task/a2@8")]
    assert await store.traces.given(keys) == {("demo", "task/a1@1"): GIVEN}, "the first stays"


async def test_traces_are_of_one_project(store: EventStore, owner: Owner) -> None:
    await traced(store, owner)
    sends = (send("task/a1@1.0", actor("b1", project="other")),)
    assert statuses(await owner.commit(unit(address=actor(project="other"), sends=sends))) == ["committed"]
    assert [row.trace for row in await store.pending_sends([actor("b1", project="other")], 9)] == [""]


async def test_a_commit_may_have_many(store: EventStore, owner: Owner) -> None:
    units = [unit(f"m{n}", command=f"c{n}", traces=(Traced(f"task/m{n}@1", GIVEN),)) for n in range(200)]
    assert set(statuses(await owner.commit(*units))) == {"committed"}
    keys = [("demo", f"task/m{n}@1") for n in range(0, 400, 2)]
    assert len(await store.traces.given(keys)) == 100


async def test_an_expired_unit_leaves_no_trace(store: EventStore, owner: Owner) -> None:
    late = unit(settled=(Settled("c1", "task.note.v1", "accepted", body=b"{}", deadline=PAST),), traces=(A1,))
    assert statuses(await owner.commit(late)) == ["expired"]
    assert await store.traces.given([("demo", "task/a1@1")]) == {}


def test_the_key_of_a_trace() -> None:
    assert key_of("tools/t1@3.0", "tools/t1@3") == "tools/t1@3"
    assert key_of("tools/t1@3.0:outcome", "tools/t1@3.0:name") == "tools/t1@3"
    assert key_of("timer:late.x:7", "tools/t1@3") == "tools/t1@3"
    assert key_of("c.1", "runtime/4@1") == "c.1"
    assert key_of("tools/t1@3.0", "runtime/4@1") == "tools/t1@3"
