"""Forks of the log, on every adapter: the original up to a position, and from there a log of its own."""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec import structs

from eventstore.blobs import CHUNK_BYTES
from eventstore.forking import Fork, RecordedOutcome, Wanted
from eventstore.store import (
    EffectOutcome,
    EventStore,
    NewEffect,
    NewEvent,
    NewTimer,
    NoSuchLog,
    Settled,
    StoreError,
    Unit,
    VersionConflict,
)
from eventstore.subject_keys import NewSubjectKey
from protocol.subjects import PARTITIONS, Address
from tests.kit.units import FUTURE, NOON, PAST, Owner, actor, effect, event, external, send, statuses, timer, unit

WORK = hashlib.sha256(b"{}").digest()  # Of the work of `units.effect`.


@asynccontextmanager
async def forked(store: EventStore, position: int, name: str = "f1", *wanted: Wanted) -> AsyncGenerator[EventStore]:
    """A fork with what was under way, opened."""
    async with store.forks.creating(position, name) as draft:
        for each in wanted:
            await draft.want(each)
    async with store.forks.opened(name) as fork:
        yield fork


async def whole(store: EventStore) -> None:
    """Dense positions and versions, and a chain that vouches for every event."""
    events = await store.read(0)
    assert [row.position for row in events] == list(range(1, len(events) + 1))
    for address in {row.address for row in events}:
        versions = [row.version for row in await store.read_stream(address)]
        assert versions == list(range(1, len(versions) + 1))
    assert (await store.audit.verify(processes=1)).broken is None


async def pending(store: EventStore) -> list[str]:
    receivers = await store.overdue_sends(range(PARTITIONS), -3600.0, 100)
    return [row.id for row in await store.pending_sends(receivers, 100)]


async def claimed(store: EventStore) -> list[str]:
    return [each.key for each in await store.claim_effects(["tool"], uuid4(), 0.0, 100)]


# --- The log.


async def test_a_fork_is_the_log_up_to_its_position(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1", events=2), unit("a2", 0, "c2"))
    await store.append(actor("free"), [event(7), event(8)])
    await owner.commit(unit("a1", 2, "c3", events=(event(9, "c3", type_="task.later.v1"),)))
    await store.append(actor("late"), [event(10)])
    for position in range(await store.head() + 1):
        async with forked(store, position, f"f{position}") as fork:
            assert await fork.head() == position
            assert await fork.read(0) == await store.read(0, upto=position)
            for name in ("a1", "a2", "free", "late"):
                stream = [row for row in await store.read_stream(actor(name)) if row.position <= position]
                assert await fork.read_stream(actor(name)) == stream
            await whole(fork)


async def test_roots_stay_and_a_commit_that_is_cut_is_sealed_anew(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1", events=2))
    await owner.commit(unit("a1", 2, "c2", events=3))
    async with forked(store, 4, "cut") as cut, forked(store, 5, "even") as even:
        for fork, position in ((cut, 4), (even, 5)):
            assert await fork.audit.roots_at([2]) == await store.audit.roots_at([2])
            assert position in await fork.audit.roots_at([position])
            await whole(fork)
        assert await even.audit.head() == await store.audit.head()
        assert (await cut.audit.roots_at([4]))[4] != (await store.audit.roots_at([5]))[5]


async def test_each_goes_its_own_way(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1", events=2))
    await store.append(actor("free"), [event(1)])
    before = await store.read(0)
    async with forked(store, 2) as fork:
        theirs = await Owner.of(fork, 0, takeover=False)  # Nobody holds its partitions.
        assert {(lease.epoch, lease.cursor, lease.witness) for lease in theirs.leases.values()} == {(1, 0, "")}
        assert statuses(await theirs.commit(unit("a1", 2, "c2", events=1))) == ["committed"]
        assert statuses(await theirs.commit(unit("a1", 2, "c3", events=1))) == ["conflict"]
        with pytest.raises(StoreError, match="belongs to an actor"):
            await fork.append(actor("a1"), [event(1)])
        await fork.append(actor("free"), [event(5, "elsewhere")], expected=0)
        await fork.append(actor("new"), [event(6)])
        assert await store.read(0) == before
        await store.append(actor("free"), [event(2)], expected=1)
        await owner.commit(unit("a1", 2, "c2", events=2))
        assert [row.address.name for row in await fork.read(2)] == ["a1", "free", "new"]
        assert [row.address.name for row in await store.read(3)] == ["free", "a1", "a1"]
        with pytest.raises(VersionConflict):
            await fork.append(actor("free"), [event(7)], expected=2)
        await whole(fork)
    await whole(store)


async def test_a_fork_of_a_fork(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1", events=3))
    async with forked(store, 2) as first:
        theirs = await Owner.of(first, 0)
        await theirs.commit(unit("a1", 2, "c2", events=2))
        await first.release([0], theirs.id)
        async with forked(first, 3, "f2") as second:
            assert await second.read(0) == await first.read(0, upto=3)
            await second.append(actor("free"), [event(1)])
            await whole(second)
        assert await first.head() == 4
        (listed,) = [fork for fork in await store.forks.listed() if fork.name == "f2"]
        assert (listed.origin, listed.position) == ("f1", 3)
        # What it was made from can go: it is whole by itself.
        await store.forks.drop("f1")
    async with store.forks.opened("f2") as second:
        await whole(second)


@pytest.mark.parametrize(
    ("position", "name", "words"),
    [
        (-1, "f1", r"cannot fork at -1: choose a position from 0 to 1"),
        (2, "f1", r"cannot fork at 2: choose a position from 0 to 1"),
        (1, "No", r"name 'No' must be lower-case"),
        (1, 'f"; drop schema public', r"must be lower-case"),
        (1, "", r"must be lower-case"),
        (1, "x" * 42, r"at most 41 long"),
        (1, "troupe", r"there is something called 'troupe' already"),
        (1, "there", r"there is something called 'there' already"),
    ],
)
async def test_what_cannot_be_forked(store: EventStore, position: int, name: str, words: str) -> None:
    await store.append(actor("free"), [event(1)])
    async with store.forks.creating(0, "there"):
        pass
    with pytest.raises(StoreError, match=words):
        async with store.forks.creating(position, name):
            pytest.fail("it was made")
    assert [fork.name for fork in await store.forks.listed()] == ["there"]


async def test_what_raises_while_it_is_made_leaves_nothing(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1"))

    async def broken() -> None:
        async with store.forks.creating(1, "f1") as draft:
            await draft.want(Wanted(actor("a1"), sends=((1, send("task/a1@1.0", actor("a2"))),)))
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await broken()
    assert await store.forks.listed() == []
    with pytest.raises(NoSuchLog, match="no fork called 'f1'"):
        async with store.forks.opened("f1"):
            pytest.fail("it is there")
    async with forked(store, 1) as fork:
        assert await pending(fork) == []


async def test_what_is_known_of_forks(store: EventStore, owner: Owner) -> None:
    assert await store.forks.this() is None
    assert await store.forks.listed() == []
    await owner.commit(unit("a1", 0, "c1"))
    async with store.forks.creating(1, "f2", live=True) as draft:
        assert await store.forks.listed() == []
    async with store.forks.creating(0, "f1"):
        pass
    first, second = await store.forks.listed()
    assert second == draft.fork
    assert (first.name, first.position, first.live) == ("f1", 0, False)
    assert (second.name, second.origin, second.position, second.live) == ("f2", "troupe", 1, True)
    assert second.at <= second.created_at
    async with store.forks.opened("f2") as fork:
        assert await fork.forks.this() == second
        assert await fork.forks.listed() == [first, second]


async def test_a_fork_is_dropped_when_nobody_runs_on_it(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1"))
    async with forked(store, 1) as fork:
        theirs = await Owner.of(fork, 3)
        with pytest.raises(StoreError, match="somebody is running on the fork 'f1'"):
            await store.forks.drop("f1")
        await fork.release([3], theirs.id)
        with pytest.raises(StoreError, match="cannot drop 'f1' from within"):
            await fork.forks.drop("f1")
    await store.forks.drop("f1")
    assert await store.forks.listed() == []
    for name in ("f1", "troupe"):
        with pytest.raises(StoreError):
            await store.forks.drop(name)
    assert await store.head() == 1


# --- What was settled.


async def test_what_was_settled_by_then_is_known(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1", events=2))
    await owner.commit(unit("a1", None, "silent", events=0), unit("a2", 0, "c2"))
    await owner.commit(unit("a3", None, "between", events=0))
    await owner.commit(unit("a1", None, "with", events=0), unit("a2", 1, "c3", events=2))
    await owner.commit(unit("a3", None, "after", events=0))
    ids = ["c1", "silent", "c2", "between", "with", "c3", "after"]
    known = {
        0: [],
        1: ["c1"],
        2: ["c1"],
        3: ["c1", "silent", "c2", "between"],
        4: ["c1", "silent", "c2", "between", "c3"],  # Its commit is cut: what was silent there was not settled yet.
        5: ids,
    }
    for position, expected in known.items():
        async with forked(store, position, f"f{position}") as fork:
            rows = await fork.inbox("demo", ids)
            assert sorted(rows) == sorted(expected), position
            if position == 1:
                assert (rows["c1"].first_position, rows["c1"].events) == (1, 1)
            theirs = await Owner.of(fork, 0)
            for id_ in ids:
                (verdict,) = await theirs.commit(unit("a9", None, id_, events=0))
                assert verdict.status == ("known" if id_ in expected else "committed")


# --- What was under way.


def wants(*sends: str, timers: Sequence[NewTimer] = (), effects: Sequence[NewEffect] = ()) -> Wanted:
    """Of the actor a1: sends to a2, by the reference of the event that wanted them."""
    rows = tuple((int(id_.split("@")[1].split(".")[0]), send(id_, actor("a2"))) for id_ in sends)
    return Wanted(actor("a1"), rows, tuple(timers), tuple(effects))


async def test_a_send_is_under_way_until_something_names_it(store: EventStore, owner: Owner) -> None:
    sends = (send("task/a1@1.0", actor("a2")), send("task/a1@1.1", actor("a2")), send("task/a1@2.0", actor("a2")))
    await owner.commit(unit("a1", 0, "c1", events=2, sends=sends))
    _, broken, _ = await store.pending_sends([actor("a2")], 9)
    accepted = event(1, "task/a1@1.0")
    await owner.commit(unit("a2", 0, None, events=(accepted,), settled=(external("x"),)))
    quarantined = Settled(broken.id, broken.type, "quarantined", outbox_id=broken.outbox_id)
    await owner.commit(Unit(0, actor("0", kind="runtime"), None, (quarantined,), (event(2, broken.id),)))
    every = wants("task/a1@2.0", "task/a1@1.0", "task/a1@1.1")
    for position, left in ((2, ["1.0", "1.1", "2.0"]), (3, ["1.1", "2.0"]), (4, ["2.0"])):
        async with forked(store, position, f"f{position}", every) as fork:
            assert await pending(fork) == [f"task/a1@{n}" for n in left]  # In the order of their events.
            row = (await fork.pending_sends([actor("a2")], 1))[0]
            assert row.outbox_id > broken.outbox_id, "an outbox row of a fork is never called like one of the original"
            assert (row.sender, row.type, row.body, row.at) == ("task/a1", "task.note.v1", b"{}", NOON)


async def test_an_id_of_another_project_settles_nothing(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1"))
    named = (event(1, "task/a1@1.0"), event(2, "task/a1@1.1:outcome"))
    await owner.commit(unit("a1", 0, "c1", events=named, address=actor("a1", project="other")))
    async with forked(store, 3, "f1", wants("task/a1@1.0", effects=[effect("task/a1@1.1")])) as fork:
        assert await pending(fork) == ["task/a1@1.0"]
        assert await claimed(fork) == ["task/a1@1.1"]


async def test_timers_go_on_where_they_were_and_only_once(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1"))
    fork_of = (await store.forks.listed(), await store.head())[1]
    async with store.forks.creating(fork_of, "f1") as draft:
        due = draft.fork.at + timedelta(hours=1)
        await draft.want(wants(timers=[timer("soon", due), timer("late", FUTURE)]))
    async with store.forks.opened("f1") as fork:
        assert await fork.forks.resume() is True
        first = await fork.next_timer_s()
        assert first is not None
        assert 3_590 < first <= 3_600  # As long as it was at the position, however long ago that is.
        assert await fork.forks.resume() is False
        again = await fork.next_timer_s()
        assert again is not None
        assert 3_500 < again <= first
        resumed = await fork.forks.this()
        assert resumed is not None
        assert resumed.resumed_at is not None
    assert await store.forks.resume() is False


async def test_a_firing_that_broke_its_actor_is_not_fired_again(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1", timers=(timer("t", PAST), timer("t:7", PAST))))
    await owner.commit(unit("a2", 0, "c2"))
    await store.fire_timers(9)
    firing = (await store.pending_sends([actor("a1")], 9))[0]
    assert firing.id.startswith("timer:t:")
    broke = Settled(firing.id, firing.type, "quarantined", outbox_id=firing.outbox_id)
    await owner.commit(Unit(0, actor("a1"), None, (broke,), ()), unit("a2", 1, "c3"))
    left = [timer("t", PAST), timer("t:7", PAST)]
    other = Wanted(actor("a3"), timers=(timer("t", PAST),))
    for position, fired in ((2, ["t", "t:7", "t"]), (3, ["t:7", "t"])):
        async with forked(store, position, f"f{position}", wants(timers=left), other) as fork:
            await fork.fire_timers(9)
            ids = [id_.removeprefix("timer:").rpartition(":")[0] for id_ in await pending(fork)]
            assert sorted(ids) == sorted(fired)


async def outcome_of(store: EventStore, owner: Owner, key: str, body: bytes) -> None:
    """The effect comes to that; nobody has heard it yet."""
    (mine,) = [each for each in await store.claim_effects(["tool"], owner.id, 0.0, 9) if each.key == key]
    assert await store.finish_effect(mine, EffectOutcome("task.note.v1", body, NOON), 0)


async def test_an_effect_is_open_until_its_outcome_is_named(store: EventStore, owner: Owner) -> None:
    keys = [f"task/a1@1.{n}" for n in range(4)]
    effects = tuple(effect(key) for key in keys)
    await owner.commit(unit("a1", 0, "c1", effects=effects))
    named, silent, waiting, _ = keys
    for key, body in ((named, b'{"n":1}'), (silent, b'{"n":2}'), (waiting, b'{"n":3}')):
        await outcome_of(store, owner, key, body)
    rows = {row.outcome_of: row for row in await store.pending_sends([actor("a1")], 9)}

    def heard(key: str, body: bytes) -> Settled:
        return structs.replace(external(f"{key}:outcome", body=body), outbox_id=rows[key].outbox_id)

    await owner.commit(unit("a1", 1, None, events=(event(1, f"{named}:outcome"),), settled=(heard(named, b'{"n":1}'),)))
    await owner.commit(unit("a1", None, None, events=0, settled=(heard(silent, b'{"n":2}'),)))
    await owner.commit(unit("a2", 0, "c2"))
    for position, open_ in ((1, keys), (2, [waiting, keys[3]]), (3, [waiting, keys[3]])):
        async with store.forks.creating(position, f"f{position}") as draft:
            await draft.want(wants(effects=effects))
            await draft.worked("demo", [(key, WORK) for key in keys])
            await draft.worked("other", [(key, b"?" * 32) for key in keys])
        async with store.forks.opened(f"f{position}") as fork:
            assert await fork.forks.effects_open(["tool"])
            assert not await fork.forks.effects_open(["other"])
            assert await claimed(fork) == open_
            recorded = {key: await fork.forks.recorded("demo", key) for key in open_}
            bodies = {named: b'{"n":1}', silent: b'{"n":2}', waiting: b'{"n":3}'}
            assert recorded == {
                key: RecordedOutcome(WORK, "task.note.v1", bodies[key]) if key in bodies else None for key in open_
            }
            assert await fork.forks.recorded("other", waiting) is None
    # A fork of a fork knows them too, as far as they were not heard in between.
    async with store.forks.opened("f1") as fork, forked(fork, 1, "g1") as further:
        assert await further.forks.recorded("demo", waiting) == RecordedOutcome(WORK, "task.note.v1", b'{"n":3}')


async def test_an_outcome_of_work_that_nobody_can_name_answers_nothing(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1", effects=(effect("task/a1@1.0"),)))
    await outcome_of(store, owner, "task/a1@1.0", b"{}")
    async with forked(store, 1) as fork:
        assert await fork.forks.recorded("demo", "task/a1@1.0") is None


async def test_actors_and_their_later_way(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", 0, "c1", events=2), unit("a2", 0, "c2", events=1))
    await store.append(actor("free"), [event(1)])
    await owner.commit(unit("a1", 2, "c3", events=2), unit("late", 0, "c4", events=1))
    async with store.forks.creating(2, "f1") as draft:
        streams = {stream.address.name: stream.version for stream in await draft.streams(0)}
        assert streams == {"a1": 2, "a2": 0, "late": 0}  # Plain streams belong to nobody.
        assert await draft.streams(1) == []
        assert await draft.history(actor("a1"), 0, 9) == await store.read_stream(actor("a1"))
        assert await draft.history(actor("a1"), 3, 9) == (await store.read_stream(actor("a1")))[3:]
        assert len(await draft.history(actor("a1"), 0, 1)) == 1
        # The original goes on; the draft does not see it.
        await owner.commit(unit("a1", 4, "c5", events=1))
        assert len(await draft.history(actor("a1"), 0, 9)) == 4
    async with store.forks.opened("f1") as fork:
        assert await fork.forks.score(actor("a1"), 0) == [(3, "c3"), (4, "c3")]
        assert await fork.forks.score(actor("a1"), 3) == [(4, "c3")]
        assert await fork.forks.score(actor("a2"), 0) == [(1, "c2")]
        assert await fork.forks.score(actor("free"), 0) == []
        assert await fork.forks.score(Address("other", "task", "a1"), 0) == []
    assert await store.forks.score(actor("a1"), 0) == []


# --- What is shared.


async def test_blobs_are_there(store: EventStore, owner: Owner) -> None:
    async def big() -> AsyncGenerator[bytes]:
        for n in range(3):
            yield bytes([n]) * CHUNK_BYTES

    mine, theirs = await store.blobs.put("demo", b"one"), await store.blobs.put("other", b"two")
    streamed = await store.blobs.write("demo", big())
    await owner.commit(unit("a1", 0, "c1"))
    async with forked(store, 0) as fork:
        assert await fork.blobs.get("demo", mine) == b"one"
        assert await fork.blobs.get("other", theirs) == b"two"
        assert await fork.blobs.get("demo", theirs) is None
        assert await fork.blobs.stat("demo", streamed.sha256) == await store.blobs.stat("demo", streamed.sha256)
        assert [bad async for bad in fork.blobs.check()] == []
        new = await fork.blobs.put("demo", b"three")
        assert await store.blobs.get("demo", new) is None


async def test_a_subject_is_forgotten_in_the_original_and_its_forks_at_once(store: EventStore, owner: Owner) -> None:
    await store.keys.adopt("m1")
    await store.keys.add(
        "m1", [NewSubjectKey("k1", "demo", b"ada", b"wrapped"), NewSubjectKey("k2", "demo", b"b", b"w")]
    )
    await owner.commit(unit("a1", 0, "c1"))
    async with forked(store, 1) as fork, forked(fork, 1, "f2") as further:
        assert (await further.keys.by_id("demo", ["k1"]))["k1"].wrapped == b"wrapped"
        said = NewEvent("subject.forgotten.v1", b'{"type":"subject.forgotten.v1","key":"k1"}', NOON, "run", "c9")
        forgotten = await further.keys.forget("demo", "k1", said)
        assert forgotten is not None
        for each in (store, fork, further):
            assert (await each.keys.by_id("demo", ["k1"]))["k1"].wrapped == b""
        # The original's log says so; a fork's log is its own.
        assert [row.type for row in await store.read(1)] == ["subject.forgotten.v1"]
        assert await fork.head() == await further.head() == 1
        await store.keys.forget("demo", "k2", said)
        assert (await fork.keys.by_id("demo", ["k2"]))["k2"].wrapped == b""


async def test_the_fork_is_the_same_whenever_it_is_made(store: EventStore, owner: Owner) -> None:
    """What the original does afterwards, and the time of the fork, change nothing in it."""
    await owner.commit(unit("a1", 0, "c1", events=3))
    async with forked(store, 2, "f1") as first:
        before = (await first.read(0), await first.audit.head(), _timeless(await first.forks.this()))
    await owner.commit(unit("a1", 3, "c2", events=3))
    async with forked(store, 2, "f2") as second:
        assert (await second.read(0), await second.audit.head(), _timeless(await second.forks.this())) == before


def _timeless(fork: Fork | None) -> Fork:
    assert fork is not None
    return replace(fork, name="", created_at=NOON)
