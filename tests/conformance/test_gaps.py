"""The promises of gaps: what stands beside the events agrees with them, or the first thing that does not is named."""

import pytest

from eventstore.store import BadInput, EventStore, NewSend, Settled
from tests.kit.histories import write_history
from tests.kit.units import FUTURE, NOON, Owner, actor, effect, event, external, send, timer, unit

A2 = actor("a2")


def settled(id_: str, outcome: str) -> Settled:
    return Settled(id_, "task.note.v1", outcome, headers=b"{}", body=b"{}")  # pyright: ignore[reportArgumentType]


async def said(store: EventStore, restored_to: int = 0) -> tuple[int, str]:
    found = (await store.gaps.find(restored_to)).gap
    assert found is not None
    return found.position, found.what


async def test_what_a_company_leaves_has_no_gap(store: EventStore) -> None:
    """Commands accepted, silent and refused; sends, outcomes and firings; and some of each still to come."""
    await write_history(store)
    found = await store.gaps.find()
    assert found.gap is None
    assert (found.last, found.waiting, found.partitions) == (await store.head(), 3, 64)
    assert found.commands > 450


async def test_an_empty_log_has_none(store: EventStore) -> None:
    found = await store.gaps.find()
    assert (found.last, found.commands, found.waiting, found.partitions, found.gap) == (0, 0, 0, 0, None)


async def test_plain_appends_need_no_command(store: EventStore) -> None:
    await store.append(actor("imported"), [event(1, "from elsewhere"), event(2, "x/y@1.0")], id="once")
    assert (await store.gaps.find()).gap is None


async def test_an_event_without_its_command(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1"))
    await owner.commit(unit("a1", 1, "c2", events=(event(1, "c2"), event(2, "ghost"))))
    position, what = await said(store)
    assert position == 3
    assert what.startswith("the event of demo/task/a1 names the command ghost as its cause, and the inbox has no row")
    assert (await store.gaps.find(3)).gap is None, "a log that was restored up to there has no inbox of it"
    with pytest.raises(BadInput, match="1 to 3"):
        await store.gaps.find(4)


async def test_the_row_of_another_actor_is_none(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1"))
    await owner.commit(unit("a2", command="other", events=(event(1, "other"), event(2, "c1"))))
    assert (await said(store))[0] == 3


THERE = ("task/a2@1.0:read", "task/a2@1.0:unknown.1", "task/a2@1.0:read:unknown.2")


@pytest.mark.parametrize("cause", ["task/a1@2.0", "task/nobody@1.0", "task/a3@2.0", *THERE])
async def test_an_event_without_what_wanted_it(store: EventStore, owner: Owner, cause: str) -> None:
    await owner.commit(unit("a1", sends=(send("task/a1@1.0", A2),)))
    (row,) = await store.pending_sends([A2], 9)
    arrived = Settled(row.id, row.type, "accepted", outbox_id=row.outbox_id, keep=False)
    await owner.commit(unit("a2", command=None, settled=(arrived,), events=(event(1, row.id),)))
    assert (await store.gaps.find()).gap is None
    await owner.commit(unit("a3", command="c3", events=(event(1, "c3"), event(2, cause))))
    if cause in THERE:
        assert (await store.gaps.find()).gap is None
        return
    position, what = await said(store)
    assert (position, what.endswith("the event that wanted that is not there")) == (4, True)


async def test_an_outcome_without_its_row(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", effects=(effect("task/a1@1.0"),)))
    await owner.commit(unit("a1", 1, None, events=(event(1, "task/a1@1.0:outcome"),)))
    position, what = await said(store)
    assert (position, "the command task/a1@1.0:outcome" in what) == (2, True)


async def test_commands_that_led_to_what_they_did_not(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", command=None, settled=(external("c1"), external("idle"))))
    assert await said(store) == (1, "the event of demo/task/a1 names the command none as its cause, and the inbox has "
                                 "no row of an accepted command that led to it")  # fmt: skip
    assert (await said(store, 1))[1] == "the command c1 to demo/task/a1 was accepted, and its inbox row names no event"


async def test_refused_and_silent_ones_lead_to_nothing(store: EventStore, owner: Owner) -> None:
    rows = tuple(settled(outcome, outcome) for outcome in ("silent", "refused", "parked"))
    await owner.commit(unit("a1", None, None, settled=rows, events=0))
    assert (await store.gaps.find()).gap is None
    await owner.commit(unit("a1", None, None, settled=(settled("mute", "silent"),), events=(event(1, "mute"),)))
    assert "led to nothing, and its inbox row names events from here on" in (await said(store, 1))[1]


async def test_what_waits_was_wanted_by_an_event_that_is_there(store: EventStore, owner: Owner) -> None:
    await owner.commit(
        unit("a1", sends=(send("task/a1@1.0", A2),), timers=(timer("late", FUTURE),), effects=(effect("task/a1@1.1"),))
    )
    found = await store.gaps.find()
    assert (found.gap, found.waiting) == (None, 3)
    lost = NewSend("task/a1@7.0", A2, 0, "task/a1", "task.note.v1", b"{}", NOON, "run", "task/a1@7")
    await owner.commit(unit("a1", 1, "c2", sends=(lost,)))
    assert await said(store) == (
        0, "task/a1@7.0 waits for demo/task/a2, and the event that wanted it is not there"
    )  # fmt: skip


async def test_a_cursor_is_where_its_witness_is(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1"), cursor=7, witness="COMMANDS-7-1769860800000000")
    assert (await store.gaps.find()).gap is None
    for cursor, witness in ((8, "COMMANDS-7-1769860800000000"), (0, "COMMANDS-7-1769860800000000"), (7, "")):
        await owner.commit(cursor=cursor, witness=witness)
        assert await said(store) == (
            0, f"the cursor of partition 0 is at {cursor}, and its witness names another message: {witness!r}"
        )  # fmt: skip


async def test_outcomes_of_effects_with_names(store: EventStore, owner: Owner) -> None:
    key = "task/a1@1.0:read"
    await owner.commit(unit("a1", effects=(effect(key),)))
    heard = Settled(f"{key}:outcome", "task.note.v1", "accepted", headers=b"{}", body=b"{}")
    await owner.commit(unit("a1", 1, None, settled=(heard,), events=(event(1, heard.id),)))
    assert (await store.gaps.find()).gap is None
    await owner.commit(unit("a1", 2, None, events=(event(1, "task/a1@2.0:read:outcome"),)))
    assert (await said(store))[0] == 3
