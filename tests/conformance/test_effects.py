"""The promises of eventstore/effects.py: orders, claims that are held, doubts and their answers. For every adapter."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from eventstore.effects import DEADLINE, WITHDRAW, Held, Order
from eventstore.store import ClaimedEffect, EffectOutcome, EventStore, NewEffect
from protocol.codec import encode
from tests.kit.units import FUTURE, NOON, PAST, Owner, actor, effect, unit

WORKER = uuid4()
OUTCOME = EffectOutcome("task.done.v1", b'{"n":1}', NOON)
FOREVER_S = 3600.0


def order(key_: str, kind: str = WITHDRAW, **means: Any) -> NewEffect:
    body = encode(Order("cancelled: for a test", **means))
    return replace(effect(key_, kind, PAST), body=body)


async def claim(store: EventStore, kind: str = "tool", limit: int = 10) -> dict[str, ClaimedEffect]:
    return {c.key: c for c in await store.claim_effects([kind], WORKER, FOREVER_S, limit)}


async def decided(store: EventStore, kind: str = "tool") -> list[tuple[str, str, str, int]]:
    """What is to be ended without being performed; the claims on it are over at once."""
    found = await store.effects.claim_decided([kind], WORKER, -1.0, 10)
    return [(c.key, c.state, c.note, c.attempt) for c in found]


async def test_an_order_withdraws_what_it_means_and_nothing_else(store: EventStore, owner: Owner) -> None:
    keys = ("task/a1@1.0:copy", "task/a1@1.1:copying", "task/a1@1.2", "task/a1@10.0:copy", "task/a1@9.4:copy")
    later = tuple(replace(effect(key), at=NOON + timedelta(seconds=n)) for n, key in enumerate(keys))
    await owner.commit(unit("a1", effects=(*later, effect("task/a1@9.1:copy", "llm"))))
    await owner.commit(unit("a2", command="c2", effects=(effect("task/a2@1.0:copy"),)))
    assert await store.effects.carry_out(10) == []
    running = (await claim(store, limit=1))["task/a1@1.0:copy"]
    wanted = order("task/a1@9.3", name="copy", version=9, place=3)
    await owner.commit(unit("a1", 1, "c3", effects=(wanted,)))
    assert await store.effects.carry_out(10) == ["llm", "tool"]
    assert await store.effects.carry_out(10) == [], "the order is over"
    note = "cancelled: for a test"
    assert await store.effects.hold([running], FOREVER_S) == {running.claim: Held(True, note)}
    assert await decided(store) == [], "it is held by whoever performs it"
    assert await decided(store, "llm") == [("task/a1@9.1:copy", "withdrawn", note, 0)]
    assert (await claim(store, "llm")) == {}, "nobody performs it"
    free = await claim(store)
    assert sorted(free) == sorted([*keys[1:], "task/a2@1.0:copy"])
    assert {c.state for c in free.values()} == {""}
    assert await store.effects.hold([running], -1.0) == {running.claim: Held(True, note)}
    assert await decided(store) == [("task/a1@1.0:copy", "withdrawn", note, 1)]


async def test_a_deadline_counts_when_its_time_has_come_and_goes_with_its_effect(
    store: EventStore, owner: Owner
) -> None:
    past, future, done = "task/a1@1.0", "task/a1@1.1:copy", "task/a1@1.2"
    deadlines = [order(f"{key}:deadline", DEADLINE, key=key) for key in (past, future, done)]
    deadlines[1:] = [replace(each, at=FUTURE) for each in deadlines[1:]]
    await owner.commit(unit("a1", effects=(*map(effect, (past, future, done)), *deadlines)))
    assert [found.key for found in await store.effects.listed()] == [past, future, done], "an order is no effect"
    finished = (await claim(store))[done]
    assert await store.finish_effect(finished, OUTCOME, 0)
    assert await store.effects.carry_out(10) == ["tool"]
    left = await claim(store, DEADLINE)
    assert list(left) == [f"{future}:deadline"], "of what has ended none is left"
    states = {found.key: found.state for found in await store.effects.listed("demo")}
    assert states == {past: "withdrawn", future: ""}


async def test_what_is_held_is_held_by_its_claim_alone(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"), effect("task/a1@1.1"))))
    first, second = (await claim(store)).values()
    assert await store.effects.hold([], FOREVER_S) == {}
    held = await store.effects.hold([first, replace(second, claim=uuid4())], -1.0)
    assert held == {first.claim: Held(False, "")}
    (again,) = await store.claim_effects(["tool"], uuid4(), FOREVER_S, 10)
    assert (again.key, again.attempt) == (first.key, 2)
    assert set(await store.effects.hold([first, second], FOREVER_S)) == {second.claim}
    assert await store.retry_effect(second, -1.0, tried=False)
    assert (await claim(store))[second.key].attempt == 1, "what was given back untried was no attempt"


async def test_a_doubt_waits_for_a_human_and_ends_with_the_answer(store: EventStore, owner: Owner) -> None:
    keys = [f"task/a1@1.{n}:pay" for n in range(3)]
    await owner.commit(unit("a1", effects=tuple(replace(effect(key), safety="once") for key in keys)))
    claims = await claim(store)
    doubted = [claims[key] for key in keys]
    for each, told in zip(doubted, (None, OUTCOME, OUTCOME), strict=True):
        assert await store.effects.doubt(each, "no word", told, 0)
        assert not await store.effects.doubt(each, "again", told, 0)
    sends = await store.pending_sends([actor("a1")], 10)
    assert [(send.id, send.outcome_of) for send in sends] == [(f"{key}:unknown.1", "") for key in keys[1:]]
    await owner.commit(unit("a1", 1, "c2", effects=(order("task/a1@2.0", name="pay", version=2),)))
    assert await store.effects.carry_out(10) == []
    assert (await claim(store), await decided(store), await store.release_claims([])) == ({}, [], 0)
    assert [(f.key, f.note, f.claimed) for f in await store.effects.listed("demo", True)] == [
        (key, "no word", False) for key in keys
    ]
    assert await store.effects.listed("other", True) == []
    assert await store.effects.settle("demo", "task/a1@9.9", "done", "") is None
    assert await store.effects.settle("demo", keys[0], "done", "it was") == "tool"
    assert await store.effects.settle("demo", keys[0], "failed", "it was not") is None
    assert await store.effects.settle("demo", keys[1], "failed", "it was not") == "tool"
    assert await store.effects.settle("demo", keys[2], "again", "") == "tool"
    assert await decided(store) == [(keys[0], "done", "it was", 1), (keys[1], "failed", "it was not", 1)]
    (again,) = (await claim(store)).values()
    assert (again.key, again.state, again.attempt) == (keys[2], "again", 2)
    found = await store.effects.find("demo", keys[2])
    assert found is not None
    assert (found.state, found.attempts, found.claimed) == ("", 2, True), "the answer holds for one attempt"
    (done,) = (c for c in await store.effects.claim_decided(["tool"], WORKER, FOREVER_S, 1))
    assert await store.finish_effect(done, OUTCOME, 0)
    assert await store.effects.find("demo", keys[0]) is None
