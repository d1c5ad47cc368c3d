"""The promises of the log: reading, appending, committing. Each holds for every adapter."""

from uuid import uuid4

import anyio
import pytest
from anyio.lowlevel import checkpoint

from eventstore.store import (
    EventStore,
    NewEvent,
    Selection,
    Settled,
    StoreError,
    VersionConflict,
)
from tests.kit.units import (
    NOON,
    PAST,
    Owner,
    accepts,
    actor,
    cursors,
    effect,
    event,
    external,
    send,
    statuses,
    timer,
    unit,
)


async def test_an_empty_log_has_head_zero_and_nothing_to_read(store: EventStore) -> None:
    assert await store.head() == 0
    assert await store.read(0) == []
    assert await store.read_stream(actor()) == []


async def test_what_is_appended_is_read_back_exactly(store: EventStore) -> None:
    written = [event(1, "c1"), NewEvent("task.héard.v1", b"\x00\xff", NOON, "läuft", "✓")]
    assert await store.append(actor(), written) == 2
    rows = await store.read(0)
    assert [NewEvent(r.type, r.body, r.at, r.correlation, r.causation) for r in rows] == written
    assert [(r.position, r.address, r.version, r.reference) for r in rows] == [
        (1, actor(), 1, "task/a1@1"),
        (2, actor(), 2, "task/a1@2"),
    ]
    assert await store.read_stream(actor()) == rows


async def test_an_append_of_nothing_returns_the_head_and_makes_no_stream(store: EventStore) -> None:
    await store.append(actor(), [event()])
    assert await store.append(actor("a2"), []) == 1
    assert await store.append(actor("a2"), [event()], expected=0) == 2


async def test_an_append_that_expects_another_version_is_a_conflict_and_writes_nothing(store: EventStore) -> None:
    await store.append(actor(), [event()], expected=0)
    with pytest.raises(VersionConflict, match="expected version 0, found 1"):
        await store.append(actor(), [event(2)], expected=0)
    assert await store.head() == 1


async def test_an_actors_stream_takes_no_plain_append(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit())
    with pytest.raises(StoreError, match="belongs to an actor"):
        await store.append(actor(), [event()])
    assert await store.head() == 1


async def test_reading_pages_and_selects(store: EventStore) -> None:
    for n in range(1, 7):
        name, project = f"a{n % 2}", "demo" if n < 5 else "other"
        await store.append(actor(name, project=project), [event(n, type_=f"task.n{n}.v1", correlation=f"run{n % 3}")])

    async def positions(after: int = 0, limit: int = 10, upto: int | None = None, **fields: object) -> list[int]:
        selection = Selection(**fields)  # pyright: ignore[reportArgumentType]
        return [r.position for r in await store.read(after, limit, upto, selection)]

    assert await positions() == [1, 2, 3, 4, 5, 6]
    assert await positions(after=2, limit=2) == [3, 4]
    assert await positions(after=2, upto=3) == [3]
    assert await positions(after=6) == []
    assert await positions(project="other") == [5, 6]
    assert await positions(project="demo", name="a1") == [1, 3]
    assert await positions(kind="tools") == []
    assert await positions(types=("task.n2.v1", "task.n6.v1")) == [2, 6]
    assert await positions(correlation="run0", after=3) == [6]
    assert [r.version for r in await store.read_stream(actor("a1"), after=1)] == [2]
    with pytest.raises(StoreError, match="use 0 for the beginning"):
        await store.read(-1)


async def test_a_unit_commits_its_events_and_tells_their_first_position(store: EventStore, owner: Owner) -> None:
    verdicts = await owner.commit(unit("a1", events=2), unit("a2", command="c2", events=0), unit("a3", command="c3"))
    assert statuses(verdicts) == ["committed"] * 3
    assert [v.first_position for v in verdicts] == [1, 0, 3]
    assert [(r.position, r.address.name, r.version) for r in await store.read(0)] == [
        (1, "a1", 1),
        (2, "a1", 2),
        (3, "a3", 1),
    ]


async def test_losers_take_no_winner_with_them(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("old", command="before"))
    stranger = unit("s1", command="c4", partition=7)
    verdicts = await owner.commit(
        unit("a1", command="c1", events=2),
        unit("old", command="c2"),
        stranger,
        unit("a2", command="before"),
        unit("a3", command="c3", events=3),
    )
    assert statuses(verdicts) == ["committed", "conflict", "fenced", "known", "committed"]
    assert verdicts[3].known == ("before",)
    assert [v.first_position for v in verdicts] == [2, 0, 0, 0, 4]
    assert [r.position for r in await store.read(0)] == [1, 2, 3, 4, 5, 6]
    assert set(await store.inbox("demo", ["before", "c1", "c2", "c3", "c4"])) == {"before", "c1", "c3"}


async def test_a_loser_leaves_nothing_behind(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1"))
    to = actor("b1")
    loser = unit(
        "a1", command="c2", sends=(send("s", to),), timers=(timer("t", PAST),), effects=(effect("task/a1@1.0"),)
    )
    assert statuses(await owner.commit(loser)) == ["conflict"]
    assert await store.pending_sends([to], 10) == []
    assert await store.next_timer_s() is None
    assert await store.claim_effects(["tool"], uuid4(), 60, 10) == []


async def test_a_stale_epoch_a_foreign_owner_and_a_released_partition_are_fenced(store: EventStore) -> None:
    first = await Owner.of(store, 0)
    second = await Owner.of(store, 0)
    assert statuses(await first.commit(unit())) == ["fenced"]
    forged = Owner(store, first.id, list(second.leases.values()))  # The right epoch, the wrong token.
    assert statuses(await forged.commit(unit())) == ["fenced"]
    old_epoch = Owner(store, second.id, list(second.leases.values()))
    await store.acquire([0], second.id, 3600, takeover=True)  # The right token, an older epoch.
    assert statuses(await old_epoch.commit(unit())) == ["fenced"]
    await store.release([0], second.id)
    assert statuses(await second.commit(unit())) == ["fenced"]
    assert await store.head() == 0


async def test_a_command_settled_before_is_known_and_the_others_are_not_settled(
    store: EventStore, owner: Owner
) -> None:
    await owner.commit(unit("a1", command="c1"))
    again = unit("a1", expected=1, command=None, settled=(external("c1"), external("c2")))
    (verdict,) = await owner.commit(again)
    assert (verdict.status, verdict.known) == ("known", ("c1",))
    assert set(await store.inbox("demo", ["c1", "c2"])) == {"c1"}


async def test_the_same_id_in_another_project_is_another_command(store: EventStore, owner: Owner) -> None:
    verdicts = await owner.commit(unit("a1"), unit("a1", address=actor(project="other")))
    assert statuses(verdicts) == ["committed", "committed"]
    assert (await store.inbox("other", ["c1"]))["c1"].address.project == "other"


async def test_one_external_id_twice_in_a_batch_is_known_the_second_time(owner: Owner) -> None:
    verdicts = await owner.commit(unit("a1"), unit("a2"))
    assert statuses(verdicts) == ["committed", "known"]
    assert verdicts[1].known == ("c1",)


async def test_an_id_is_not_known_because_of_a_unit_that_lost(store: EventStore, owner: Owner) -> None:
    """Naming it known would lose the command: nobody has settled it."""
    await owner.commit(unit("old", command="before"))
    verdicts = await owner.commit(unit("old"), unit("a2"))
    assert statuses(verdicts) == ["conflict", "committed"]
    assert (await store.inbox("demo", ["c1"]))["c1"].address == actor("a2")


async def test_two_units_on_one_stream_in_a_batch_are_one_commit_and_one_conflict(
    store: EventStore, owner: Owner
) -> None:
    verdicts = await owner.commit(unit("a1"), unit("a1", command="c2"), unit("a1", expected=1, command="c3"))
    assert statuses(verdicts) == ["committed", "conflict", "conflict"]
    assert statuses(await owner.commit(unit("a1", expected=1, command="c3"))) == ["committed"]
    assert await store.head() == 2


async def test_a_chain_of_rivals_ends_in_one_winner_and_honest_losers(owner: Owner) -> None:
    a, b = external("x"), external("y")
    verdicts = await owner.commit(
        unit("a1", settled=(a,)), unit("a2", settled=(a, b)), unit("a3", settled=(b,)), unit("a4", command="z")
    )
    # The third shares a command only with the second, which lost: not known, to be decided again.
    assert statuses(verdicts) == ["committed", "known", "conflict", "committed"]
    assert verdicts[1].known == ("x",)


async def test_units_without_events_share_a_stream(owner: Owner) -> None:
    quiet = [unit("a1", expected=None, command=f"c{n}", events=0) for n in range(3)]
    assert statuses(await owner.commit(*quiet)) == ["committed"] * 3


async def test_events_without_an_expected_version_follow_what_is_there(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", events=2))
    (verdict,) = await owner.commit(unit("a1", expected=None, command="c2", events=2))
    assert (verdict.status, verdict.first_position) == ("committed", 3)
    assert [r.version for r in await store.read_stream(actor())] == [1, 2, 3, 4]


async def test_an_expected_version_is_checked_without_events_too(owner: Owner) -> None:
    assert statuses(await owner.commit(unit("a1", expected=3, events=0))) == ["conflict"]


async def test_the_identical_batch_again_writes_nothing_twice(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("b1", command="start", sends=(send("s1", actor("a2")),)))
    (pending,) = await store.pending_sends([actor("a2")], 10)
    batch = owner.batch(
        unit("a1", sends=(send("s2", actor("b1")),), effects=(effect("task/a1@1.0"),)),
        unit("a2", settled=(accepts(pending.outbox_id, "s1"),)),
        cursor=5,
        witness="w5",
    )
    assert statuses(await store.commit(batch)) == ["committed", "committed"]
    head = await store.head()
    again = await store.commit(batch)
    assert [(v.status, v.known) for v in again] == [("known", ("c1",)), ("known", ("s1",))]
    assert await store.head() == head
    assert len(await store.pending_sends([actor("b1")], 10)) == 1
    assert await cursors(store, 0) == {0: (5, "w5")}


async def test_the_inbox_tells_outcome_and_events_of_each_command(store: EventStore, owner: Owner) -> None:
    settled = (
        external("c1"),
        Settled("c2", "task.note.v1", "refused", "already-done: it was done before"),
        external("c3"),
    )
    events = (event(1, "c1"), event(2, "c3"), event(3, "c3"))
    await owner.commit(unit("a0", command="c0"), unit("a1", settled=settled, events=events))
    rows = await store.inbox("demo", ["c1", "c2", "c3", "unheard-of"])
    assert {id_: (r.outcome, r.first_position, r.events) for id_, r in rows.items()} == {
        "c1": ("accepted", 2, 1),
        "c2": ("refused", 0, 0),
        "c3": ("accepted", 3, 2),
    }
    assert rows["c2"].detail == "already-done: it was done before"
    assert rows["c2"].address == actor("a1")


async def test_cursors_move_only_without_a_loser_in_their_partition(store: EventStore) -> None:
    owner = await Owner.of(store, 0, 1)
    await owner.commit(cursor=3, witness="w3")  # No unit at all: an idle owner.
    verdicts = await owner.commit(
        unit("a1", command="c1"),
        unit("a1", command="c2"),
        unit("b1", command="c3", partition=1),
        cursor=9,
        witness="w9",
    )
    assert statuses(verdicts) == ["committed", "conflict", "committed"]
    assert await cursors(store, 0, 1) == {0: (3, "w3"), 1: (9, "w9")}


async def test_a_cursor_may_be_taken_back_to_meet_a_recreated_stream(store: EventStore, owner: Owner) -> None:
    await owner.commit(cursor=9, witness="old")
    await owner.commit(cursor=0, witness="")
    assert await cursors(store, 0) == {0: (0, "")}


async def test_a_stale_owner_moves_no_cursor(store: EventStore, owner: Owner) -> None:
    await Owner.of(store, 0)
    await owner.commit(cursor=9, witness="w")
    assert (await cursors(store, 0))[0] == (0, "")


async def test_waiting_ends_at_once_when_the_log_is_beyond_and_at_the_next_commit_otherwise(
    store: EventStore, owner: Owner
) -> None:
    await store.append(actor(), [event()])
    assert await store.wait_beyond(0, 60) is True
    assert await store.wait_beyond(1, 0.01) is False
    woken: list[bool] = []

    async def wait() -> None:
        woken.append(await store.wait_beyond(1, 60))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait)
        await checkpoint()
        await owner.commit(unit("a9"))
    assert woken == [True] * 3
