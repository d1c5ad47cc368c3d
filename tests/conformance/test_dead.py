"""Parked actors, what waits for them, and suspects: what every store promises of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest

from eventstore.dead import DeadLetter, ParkedActor, Suspect
from eventstore.store import EventStore, NewEvent, Parking, Settled, Unit, Waiting
from protocol.codec import encode
from protocol.message import tag_of
from protocol.runtime import ActorDropped, ActorRetried, CommandQuarantined
from protocol.subjects import Address, partition_of
from tests.kit.units import FUTURE, NOON, PAST, Owner, actor, external, send, statuses, unit

A = actor("a1")
P = partition_of(A)
KEEPER = Address("demo", "runtime", str(P))


def waiting(
    id_: str, to: Address = A, deadline: datetime | None = None, headers: dict[str, str] | None = None
) -> Waiting:
    body, said = b'{"id":"%s"}' % id_.encode(), encode(headers or {})
    return Waiting(to, id_, "task.note.v1", body, said, NOON, "run", deadline, "")


def quarantine(id_: str, to: Address = A, outbox_id: int = 0, **more: Any) -> Unit:
    """What quarantines a command and parks its actor."""
    event = CommandQuarantined(to.kind, to.name, id_, "task.note.v1", f"{id_} broke it", b"{}")
    row = Settled(id_, "task.note.v1", "quarantined", "it broke", outbox_id=outbox_id, body=b"{}")
    fact = NewEvent(tag_of(event), encode(event), NOON, "run", id_)
    parks = (Parking(to, f"{id_} broke it"),)
    keeper = Address(to.project, "runtime", str(partition_of(to)))
    waits = (waiting(id_, to, **more),)
    return Unit(partition_of(to), keeper, None, (row,), (fact,), parks=parks, waits=waits)


def keep(*ids: str, to: Address = A, deadline: datetime | None = None, headers: dict[str, str] | None = None) -> Unit:
    rows = tuple(Settled(id_, "task.note.v1", "parked", "parked: it waits", body=b"{}") for id_ in ids)
    waits = tuple(waiting(id_, to, deadline, headers) for id_ in ids)
    return Unit(partition_of(to), to, None, rows, waits=waits)


@pytest.fixture
async def parked(store: EventStore) -> Owner:
    """Owns the partition of A, which `bad` has broken."""
    owner = await Owner.of(store, P)
    assert statuses(await owner.commit(quarantine("bad", deadline=None))) == ["committed"]
    return owner


async def mail(store: EventStore, to: Address = A) -> list[tuple[str, str, str]]:
    return [(row.id, row.sender, row.causation) for row in await store.pending_sends([to], 100)]


async def test_an_actor_is_parked_by_the_commit_that_quarantines_its_killer(store: EventStore, parked: Owner) -> None:
    await parked.commit(keep("e1", "e2"))
    await parked.commit(unit("a2", sends=(send("s1", A, P),), partition=P))
    found = await store.dead.parked_actor(A)
    assert found is not None
    assert found == ParkedActor(A, "bad broke it", found.at, "bad", 2, 1)
    assert await store.dead.parked("demo") == [found]
    (owned,) = await store.dead.parked_in([P])
    assert (owned.address, owned.reason, owned.commands) == (A, "bad broke it", 2)
    assert await store.dead.parked_in([P + 1]) == []
    rows = await store.dead.kept(A)
    assert [(row.command.id, row.killer, row.expired) for row in rows] == [
        ("bad", True, False),
        ("e1", False, False),
        ("e2", False, False),
    ]
    assert rows[1].command == waiting("e1")
    assert [row.command.id for row in await store.dead.kept(A, rows[0].number, 1)] == ["e1"]


async def test_what_waits_for_a_parked_actor_is_not_overdue(store: EventStore, parked: Owner) -> None:
    await parked.commit(unit("a2", sends=(send("s1", A, P), send("s2", actor("a3"), P)), partition=P))
    assert await store.overdue_sends([P], -1.0, 10) == [actor("a3")]
    upto = await store.dead.mail_upto([P, P + 1])
    rows = {row.id: row.outbox_id for to in (A, actor("a3")) for row in await store.pending_sends([to], 10)}
    assert upto == {P: rows["s2"]}
    assert await store.dead.mail_waits([(P, upto[P]), (P + 1, 9)]) == {P}
    assert await store.dead.mail_waits([(P, rows["s1"])]) == set()


async def test_parked_actors_are_listed_page_by_page_and_by_kind(store: EventStore) -> None:
    addresses = [actor(name, kind) for kind in ("task", "tools") for name in ("b", "a")]
    elsewhere = actor("z", project="other")
    owner = await Owner.of(store, *{partition_of(a) for a in (*addresses, elsewhere)})
    for n, address in enumerate((*addresses, elsewhere)):
        assert statuses(await owner.commit(quarantine(f"bad{n}", address))) == ["committed"]
    listed = [found.address for found in await store.dead.parked("demo")]
    assert listed == [actor("a"), actor("b"), actor("a", "tools"), actor("b", "tools")]
    first = await store.dead.parked("demo", limit=3)
    assert [found.address for found in first] == listed[:3]
    assert [found.address for found in await store.dead.parked("demo", None, listed[2])] == listed[3:]
    assert [found.address for found in await store.dead.parked("demo", "task", listed[0])] == [listed[1]]
    assert [letter.id for letter in await store.dead.letters("demo")] == ["bad3", "bad2", "bad1", "bad0"]
    assert [letter.id for letter in await store.dead.letters("demo", "task")] == ["bad1", "bad0"]
    (newest,) = await store.dead.letters("demo", limit=1)
    assert newest == DeadLetter(4, actor("a", "tools"), "bad3", "task.note.v1", "bad3 broke it", NOON, b"{}")
    assert [letter.id for letter in await store.dead.letters("demo", before=newest.position, limit=2)] == [
        "bad2",
        "bad1",
    ]


async def test_a_retry_sends_the_killer_first_then_mail_then_what_came_from_outside(
    store: EventStore, parked: Owner
) -> None:
    await parked.commit(keep("e1", headers={"Troupe-Sender": "us", "ce-source": "page"}))
    sends = tuple(send(f"s{n}", A, P) for n in range(3))
    await parked.commit(unit("a2", sends=sends, partition=P))
    await parked.commit(keep("e2", headers={"ce-source": "page"}))
    done = await store.dead.retry(A, by="ops-1")
    assert done is not None
    assert (done.reference, done.sent, done.expired) == (f"runtime/{P}@2", 6, 0)
    assert await mail(store) == [
        ("bad", "", done.reference),
        ("s0", "task/a1", "task/a1@1"),
        ("s1", "task/a1", "task/a1@1"),
        ("s2", "task/a1", "task/a1@1"),
        ("e1", "us", done.reference),
        ("e2", "page", done.reference),
    ]
    (first, *_) = await store.pending_sends([A], 1)
    assert (first.type, first.body, first.at, first.correlation) == ("task.note.v1", b'{"id":"bad"}', NOON, "run")
    assert await store.dead.parked_actor(A) is None
    assert await store.dead.kept(A) == []
    event = (await store.read_stream(KEEPER))[-1]
    assert (event.position, event.type, event.causation) == (done.position, tag_of(ActorRetried), "bad")
    assert msgspec.json.decode(event.body, type=ActorRetried) == ActorRetried("task", "a1", "bad", by="ops-1")
    assert (await store.stream(KEEPER)).fenced
    assert (await store.audit.verify()).broken is None
    assert await store.dead.retry(A) is None
    assert [letter.id for letter in await store.dead.letters("demo")] == ["bad"], "what broke is told for ever"


async def test_a_drop_leaves_the_killer_where_it_is(store: EventStore, parked: Owner) -> None:
    await parked.commit(keep("e1", "e2"))
    done = await store.dead.drop(A)
    assert done is not None
    assert (done.sent, done.expired) == (2, 0)
    assert [id_ for id_, _, _ in await mail(store)] == ["e1", "e2"]
    event = (await store.read_stream(KEEPER))[-1]
    assert msgspec.json.decode(event.body, type=ActorDropped) == ActorDropped("task", "a1", "bad")
    assert (await store.inbox("demo", ["bad"]))["bad"].outcome == "quarantined"
    assert await store.dead.drop(A) is None
    assert await store.dead.drop(actor("never")) is None


@pytest.mark.parametrize(("late", "sent"), [(False, ["e2"]), (True, ["bad", "e1", "e2"])])
async def test_what_has_expired_is_not_run_late_unless_somebody_wants_it_so(
    store: EventStore, late: bool, sent: Sequence[str]
) -> None:
    owner = await Owner.of(store, P)
    await owner.commit(quarantine("bad", deadline=PAST))
    await owner.commit(keep("e1", deadline=PAST))
    await owner.commit(keep("e2", deadline=FUTURE))
    assert [row.expired for row in await store.dead.kept(A)] == [True, True, False]
    done = await store.dead.retry(A, late)
    assert done is not None
    assert (done.sent, done.expired) == (len(sent), 3 - len(sent))
    assert [id_ for id_, _, _ in await mail(store)] == list(sent)


async def test_who_owned_the_partition_has_lost_it(store: EventStore, parked: Owner) -> None:
    """Nothing that rests on the actor being parked can be committed any more."""
    await store.dead.retry(A)
    assert statuses(await parked.commit(keep("e3"))) == ["fenced"]
    assert await store.renew([P], parked.id, 3600) == set()
    (lease,) = await store.acquire([P], parked.id, 3600, takeover=False)
    assert lease.clean
    assert lease.epoch > parked.leases[P].epoch


async def test_an_actor_can_break_again(store: EventStore, parked: Owner) -> None:
    await parked.commit(keep("e1"))
    await store.dead.retry(A)
    again = await Owner.of(store, P)
    killer, _ = await store.pending_sends([A], 10)
    verdicts = await again.commit(quarantine("bad", outbox_id=killer.outbox_id), keep("e4"))
    assert statuses(verdicts) == ["committed", "committed"]
    assert [row.command.id for row in await store.dead.kept(A)] == ["bad", "e4"]
    done = await store.dead.drop(A)
    assert done is not None
    assert done.reference == f"runtime/{P}@4"
    assert [id_ for id_, _, _ in await mail(store)] == ["e1", "e4"]


async def test_what_was_decided_after_all_is_told_as_it_was_then(store: EventStore, parked: Owner) -> None:
    await parked.commit(keep("e1"))
    assert (await store.inbox("demo", ["e1"]))["e1"].outcome == "parked"
    await store.dead.retry(A)
    owner = await Owner.of(store, P)
    rows = await store.pending_sends([A], 10)
    settled = tuple(Settled(r.id, r.type, "accepted", outbox_id=r.outbox_id, keep=True) for r in rows)
    assert statuses(await owner.commit(Unit(P, A, None, settled))) == ["committed"]
    found = await store.inbox("demo", ["bad", "e1"])
    assert {id_: row.outcome for id_, row in found.items()} == {"bad": "accepted", "e1": "accepted"}
    assert statuses(await owner.commit(unit("a1", None, "e1", partition=P))) == ["known"]


async def test_the_log_goes_on_behind_a_release(store: EventStore, parked: Owner) -> None:
    """Commits that knew the log's end, and the keeper's stream, before."""
    await store.dead.retry(A)
    owner = await Owner.of(store, P)
    other = next(actor(f"n{n}") for n in range(1_000) if partition_of(actor(f"n{n}")) == P)
    assert statuses(await owner.commit(quarantine("bad2", other))) == ["committed"]
    events = await store.read(0)
    assert [event.position for event in events] == [1, 2, 3]
    assert [event.version for event in await store.read_stream(KEEPER)] == [1, 2, 3]
    assert (await store.audit.verify()).broken is None


async def test_a_fork_has_the_actors_that_were_parked_at_its_position(store: EventStore, parked: Owner) -> None:
    """Before the parking, while it lasted, after the retry, and once what waited was decided."""
    await parked.commit(keep("e1", headers={"Troupe-Sender": "us"}))
    released = await store.dead.retry(A)
    assert released is not None
    owner = await Owner.of(store, P)
    bad, waited = await store.pending_sends([A], 10)
    settled = Settled(bad.id, bad.type, "accepted", outbox_id=bad.outbox_id, keep=True)
    await owner.commit(Unit(P, A, 0, (settled,), (NewEvent("task.noted.v1", b"{}", NOON, "run", "bad"),)))
    expected: dict[int, tuple[list[Address], list[str], list[str]]] = {
        0: ([], [], []),
        1: ([A], ["bad", "e1"], []),
        2: ([], [], ["bad", "e1"]),
        3: ([], [], ["e1"]),
    }
    for position, (actors, commands, sends) in expected.items():
        name = f"fork_{position}"
        async with store.forks.creating(position, name):
            pass
        async with store.forks.opened(name) as fork:
            assert [found.address for found in await fork.dead.parked("demo")] == actors
            assert [row.command.id for row in await fork.dead.kept(A)] == commands
            rows = await fork.pending_sends([A], 10)
            assert [row.id for row in rows] == sends
            if "e1" in sends:
                assert rows[-1] == waited
            if actors:
                assert await fork.dead.drop(A) is not None
                assert [row.id for row in await fork.pending_sends([A], 10)] == ["e1"]
        await store.forks.drop(name)


S1, S2 = Suspect(P, "demo", "c1", 0), Suspect(P, "demo", "task/a1@1.0", 7)


async def test_attempts_are_counted_until_they_are_forgotten(store: EventStore) -> None:
    other = Suspect(P + 1, "demo", "c1", 0)
    await store.dead.attempt([S1, S2, other])
    await store.dead.attempt([S1])
    await store.dead.attempt([])
    assert await store.dead.attempts([P]) == {S1: 2, S2: 1}
    assert await store.dead.attempts([P, P + 1]) == {S1: 2, S2: 1, other: 1}
    await store.dead.forget_attempts([S1])
    assert await store.dead.attempts([P]) == {S2: 1}
    await store.dead.attempt([S1])
    await store.dead.clear_attempts([P])
    assert await store.dead.attempts([P, P + 1]) == {other: 1}


async def test_attempts_of_one_command_do_not_count_for_its_namesake(store: EventStore) -> None:
    """An id is scoped by project, and an outbox row is not a command from outside."""
    namesakes = [Suspect(P, "demo", "c1", 0), Suspect(P, "other", "c1", 0), Suspect(P, "demo", "c1", 9)]
    for n, suspect in enumerate(namesakes):
        for _ in range(n + 1):
            await store.dead.attempt([suspect])
    assert await store.dead.attempts([P]) == {suspect: n + 1 for n, suspect in enumerate(namesakes)}


async def test_a_plain_command_is_no_dead_letter(store: EventStore) -> None:
    owner = await Owner.of(store, P)
    await owner.commit(Unit(P, KEEPER, None, (external("c1"),), (NewEvent("task.noted.v1", b"{}", NOON, "", "c1"),)))
    assert await store.dead.letters("demo") == []
    assert await store.dead.parked("demo") == []
