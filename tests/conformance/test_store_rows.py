"""The promises of the log's other rows: leases, sends, timers, effects, blobs. Each holds for every adapter.

A time to live of -1 s is one that has run out: no test waits for a clock.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from eventstore.store import EffectOutcome, EventStore, NewSend, Settled, StoreError, Unit
from tests.kit.units import (
    FUTURE,
    NOON,
    PAST,
    Owner,
    accepts,
    actor,
    effect,
    send,
    statuses,
    timer,
    unit,
)

GONE_S = -1.0
OUTCOME = EffectOutcome("task.done.v1", b"{}", NOON)


async def test_a_lease_is_one_owners_until_it_runs_out(store: EventStore) -> None:
    one, two = uuid4(), uuid4()
    first = await store.acquire([0, 1], one, 3600, takeover=False)
    assert {(lease.partition, lease.epoch, lease.owner) for lease in first} == {(0, 1, one), (1, 1, one)}
    assert await store.acquire([0, 1], two, 3600, takeover=False) == []
    assert await store.renew([0, 1], one, GONE_S) == {0, 1}
    (lease,) = await store.acquire([1], two, 3600, takeover=False)
    assert (lease.epoch, lease.owner) == (2, two)
    # The one that ran out but that nobody took is still its owner's, the other is not.
    assert await store.renew([0, 1], one, 3600) == {0}
    assert await store.acquire([0], two, 3600, takeover=False) == []


async def test_a_takeover_begins_an_epoch_at_once_and_a_release_frees(store: EventStore) -> None:
    one, two = uuid4(), uuid4()
    await store.acquire([0], one, 3600, takeover=False)
    assert [lease.epoch for lease in await store.acquire([0], two, 3600, takeover=True)] == [2]
    await store.release([0], one)  # Not his any more: nothing happens.
    assert await store.renew([0], two, 3600) == {0}
    await store.release([0], two)
    assert await store.renew([0], two, 3600) == set()
    assert [lease.epoch for lease in await store.acquire([0], one, 3600, takeover=False)] == [3]


async def test_sends_wait_in_the_order_they_were_written_until_their_receiver_accepts(
    store: EventStore, owner: Owner
) -> None:
    b1, b2 = actor("b1"), actor("b2")
    await owner.commit(
        unit("a1", sends=(send("s1", b1), send("s2", b2), send("s3", b1, partition=1))),
        unit("a2", command="c2", sends=(send("s4", b1),)),
    )
    waiting = await store.pending_sends([b1], 10)
    assert [(s.id, s.to, s.sender, s.outcome_of) for s in waiting] == [
        ("s1", b1, "task/a1", ""),
        ("s3", b1, "task/a1", ""),
        ("s4", b1, "task/a1", ""),
    ]
    assert [s.id for s in await store.pending_sends([b1, b2, b1], 3)] == ["s1", "s2", "s3"]
    taken = unit("b1", settled=(accepts(waiting[0].outbox_id, "s1"),))
    assert statuses(await owner.commit(taken)) == ["committed"]
    assert [s.id for s in await store.pending_sends([b1], 10)] == ["s3", "s4"]
    assert await store.inbox("demo", ["s1"]) == {}
    (verdict,) = await owner.commit(unit("b1", expected=1, settled=(accepts(waiting[0].outbox_id, "s1"),)))
    assert (verdict.status, verdict.known) == ("known", ("s1",))


async def test_one_send_accepted_twice_in_a_batch_is_known_the_second_time(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", sends=(send("s1", actor("b1")),)))
    (row,) = await store.pending_sends([actor("b1")], 10)
    taken = accepts(row.outbox_id, "s1")
    verdicts = await owner.commit(unit("b1", settled=(taken,)), unit("b2", settled=(taken,)))
    assert [(v.status, v.known) for v in verdicts] == [("committed", ()), ("known", ("s1",))]


async def test_overdue_sends_name_their_receivers_oldest_first(store: EventStore, owner: Owner) -> None:
    sends = (send("s1", actor("b2")), send("s2", actor("b1"), partition=1), send("s3", actor("b2")))
    await owner.commit(unit("a1", sends=sends))
    assert await store.overdue_sends([0, 1], GONE_S, 10) == [actor("b2"), actor("b1")]
    assert await store.overdue_sends([0, 1], GONE_S, 1) == [actor("b2")]
    assert await store.overdue_sends([1], GONE_S, 10) == [actor("b1")]
    assert await store.overdue_sends([0, 1], 3600, 10) == []


async def test_a_due_timer_becomes_a_send_to_its_actor_once(store: EventStore, owner: Owner) -> None:
    assert await store.next_timer_s() is None
    await owner.commit(unit("a1", timers=(timer("tick", PAST, b'{"n":1}'), timer("later", FUTURE))))
    due_s = await store.next_timer_s()
    assert due_s is not None
    assert due_s < 0
    assert await store.fire_timers(10) == [actor("a1")]
    assert await store.fire_timers(10) == []
    (fired,) = await store.pending_sends([actor("a1")], 10)
    assert (fired.type, fired.body, fired.sender, fired.correlation) == ("task.note.v1", b'{"n":1}', "task/a1", "run")
    remaining_s = await store.next_timer_s()
    assert remaining_s is not None
    assert remaining_s > 0


async def test_timers_fire_the_longest_due_first_and_not_more_than_asked(store: EventStore, owner: Owner) -> None:
    old, older = PAST, PAST - timedelta(days=1)
    await owner.commit(unit("a1", timers=(timer("t", old),)), unit("a2", command="c2", timers=(timer("t", older),)))
    assert await store.fire_timers(1) == [actor("a2")]
    assert await store.fire_timers(1) == [actor("a1")]


async def test_the_same_key_again_replaces_a_timer_and_a_cancel_removes_it(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", timers=(timer("tick", PAST), timer("tock", PAST))))
    await owner.commit(unit("a1", 1, "c2", timers=(timer("tick", FUTURE),), cancels=("tock", "never-set")))
    assert await store.fire_timers(10) == []
    # A cancel and a new setting in one unit: the setting holds.
    await owner.commit(unit("a1", 2, "c3", timers=(timer("tick", PAST),), cancels=("tick",)))
    assert await store.fire_timers(10) == [actor("a1")]


async def test_a_timer_that_sets_itself_again_gets_a_new_short_name_each_time(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", expected=None, events=0, timers=(timer("tick", PAST),)))
    names: list[str] = []
    for _ in range(20):
        await store.fire_timers(10)
        (fired,) = await store.pending_sends([actor("a1")], 10)
        names.append(fired.id)
        again = accepts(fired.outbox_id, fired.id)
        verdicts = await owner.commit(unit("a1", None, events=0, settled=(again,), timers=(timer("tick", PAST),)))
        assert statuses(verdicts) == ["committed"]
    assert len(set(names)) == 20
    assert max(map(len, names)) < 40


async def test_an_effect_is_one_workers_until_its_claim_runs_out(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"),)))
    one, two = uuid4(), uuid4()
    assert await store.claim_effects(["llm"], one, 60, 10) == []
    (held,) = await store.claim_effects(["tool", "llm"], one, 60, 10)
    assert (held.address, held.key, held.effect_kind, held.safety, held.at, held.attempt) == (
        actor("a1"),
        "task/a1@1.0",
        "tool",
        "idempotent",
        NOON,
        1,
    )
    assert await store.claim_effects(["tool"], two, 60, 10) == []
    assert await store.effects.hold([replace(held, claim=two)], 60) == {}
    assert list(await store.effects.hold([held], GONE_S)) == [held.claim]
    (stolen,) = await store.claim_effects(["tool"], two, 60, 10)
    assert stolen.attempt == 2
    assert await store.finish_effect(held, OUTCOME, 0) is False
    assert await store.retry_effect(held, 0) is False
    assert await store.pending_sends([actor("a1")], 10) == []
    assert await store.finish_effect(stolen, OUTCOME, 0) is True
    assert await store.finish_effect(stolen, OUTCOME, 0) is False


async def test_effects_are_claimed_oldest_first(store: EventStore, owner: Owner) -> None:
    keys = ("task/a0@1.0", "task/a1@1.1", "task/a1@1.0")
    ats = (NOON + timedelta(seconds=1), NOON, NOON)
    await owner.commit(unit("a1", effects=tuple(effect(k, at=at) for k, at in zip(keys, ats, strict=True))))
    worker = uuid4()
    claimed = await store.claim_effects(["tool"], worker, 60, 2)
    claimed += await store.claim_effects(["tool"], worker, 60, 2)
    assert [c.key for c in claimed] == ["task/a1@1.0", "task/a1@1.1", "task/a0@1.0"]


async def test_an_outcome_is_a_send_that_leaves_an_inbox_row_when_it_is_settled(
    store: EventStore, owner: Owner
) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"),)))
    (held,) = await store.claim_effects(["tool"], uuid4(), 60, 10)
    assert await store.finish_effect(held, OUTCOME, 0)
    (outcome,) = await store.pending_sends([actor("a1")], 10)
    assert (outcome.id, outcome.outcome_of, outcome.causation, outcome.type, outcome.at) == (
        "task/a1@1.0:outcome",
        "task/a1@1.0",
        "task/a1@1.0",
        "task.done.v1",
        NOON,
    )
    settled = accepts(outcome.outbox_id, outcome.id, keep=True)
    assert statuses(await owner.commit(unit("a1", 1, outcome.id, settled=(settled,)))) == ["committed"]
    row = (await store.inbox("demo", [outcome.id]))[outcome.id]
    assert (row.outcome, row.first_position, row.events) == ("accepted", 2, 1)


async def test_nobody_outside_can_take_an_outcomes_place_by_its_name(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"),)))
    await owner.commit(unit("z1", command="task/a1@1.0:outcome"))
    (held,) = await store.claim_effects(["tool"], uuid4(), 60, 10)
    await store.finish_effect(held, OUTCOME, 0)
    (outcome,) = await store.pending_sends([actor("a1")], 10)
    settled = accepts(outcome.outbox_id, outcome.id, keep=True)
    assert statuses(await owner.commit(unit("a1", 1, outcome.id, settled=(settled,)))) == ["committed"]
    assert (await store.inbox("demo", [outcome.id]))[outcome.id].address == actor("z1")


async def test_an_effect_given_back_is_claimed_again_only_after_its_delay(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"),)))
    worker = uuid4()
    (held,) = await store.claim_effects(["tool"], worker, 60, 10)
    assert await store.retry_effect(held, 3600) is True
    assert await store.claim_effects(["tool"], worker, 60, 10) == []


async def test_an_effect_given_back_without_delay_is_free_for_anybody(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"),)))
    (held,) = await store.claim_effects(["tool"], uuid4(), 60, 10)
    assert await store.retry_effect(held, GONE_S) is True
    assert [c.attempt for c in await store.claim_effects(["tool"], uuid4(), 60, 10)] == [2]


async def test_a_single_company_frees_the_claims_of_the_dead_and_keeps_its_own(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"), effect("task/a1@1.1"))))
    dead, alive = uuid4(), uuid4()
    await store.claim_effects(["tool"], dead, 3600, 1)
    (kept,) = await store.claim_effects(["tool"], alive, 3600, 1)
    assert await store.release_claims(keep=[alive]) == 1
    assert [c.key for c in await store.claim_effects(["tool"], alive, 3600, 10)] == ["task/a1@1.0"]
    assert await store.finish_effect(kept, OUTCOME, 0) is True


async def test_an_effect_key_in_use_is_an_error_not_a_lost_effect(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"),)))
    with pytest.raises(StoreError):
        await owner.commit(unit("a2", command="c2", effects=(effect("task/a1@1.0"),)))
    assert await store.head() == 1


async def test_times_are_kept_to_the_microsecond_whatever_their_zone(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", timers=(timer("t", datetime(9999, 12, 30, tzinfo=UTC)),)))
    (row,) = await store.read(0)
    assert row.at == NOON + timedelta(microseconds=1)
    assert row.at.utcoffset() == timedelta(0)


async def test_an_external_command_is_not_known_because_an_outcome_had_its_name(
    store: EventStore, owner: Owner
) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"),)))
    (held,) = await store.claim_effects(["tool"], uuid4(), 60, 10)
    await store.finish_effect(held, OUTCOME, 0)
    (outcome,) = await store.pending_sends([actor("a1")], 10)
    await owner.commit(unit("a1", 1, outcome.id, settled=(accepts(outcome.outbox_id, outcome.id, keep=True),)))
    assert statuses(await owner.commit(unit("z1", command=outcome.id))) == ["committed"]


async def test_rows_that_are_alike_and_rows_that_are_not_are_kept_as_they_are(store: EventStore, owner: Owner) -> None:
    """Many equal fields travel as one; empty ones too."""
    for round_, (kinds, types, details) in enumerate(
        [(("task", "task"), ("", ""), ("", "")), (("task", "note"), ("", "a.b.v1"), ("why", ""))]
    ):
        units: list[Unit] = []
        for n in range(2):
            to, id_ = actor("r", kind=kinds[n]), f"c{round_}{n}"
            settled = Settled(id_, types[n], "silent", details[n], sequence=n, headers=b"h" * n, body=b"b%d" % n)
            told = (NewSend(f"s{id_}", to, n, f"task/{n}", types[n], b"x" * n, NOON, "", id_),)
            address = actor(f"a{round_}{n}", kind=kinds[n], project="demo")
            units.append(unit("", 0, id_, address=address, settled=(settled,), sends=told, partition=n))
        assert statuses(await owner.commit(*units)) == ["committed"] * 2
        rows = await store.inbox("demo", [f"c{round_}{n}" for n in range(2)])
        assert [(r.address.kind, r.type, r.outcome, r.detail) for _, r in sorted(rows.items())] == [
            (kinds[n], types[n], "silent", details[n]) for n in range(2)
        ]
        sent = await store.pending_sends({actor("r", kind=kind) for kind in kinds}, 10)
        assert [(s.id, s.to.kind, s.sender, s.type, s.body, s.correlation) for s in sent][-2:] == [
            (f"sc{round_}{n}", kinds[n], f"task/{n}", types[n], b"x" * n, "") for n in range(2)
        ]
