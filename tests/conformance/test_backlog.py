"""What waits in a store, as whoever watches it is told."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from eventstore.backlog import Waits
from eventstore.effects import DEADLINE, WITHDRAW
from eventstore.store import Batch, EventStore, Fence, NewAsk, Parking, Waiting
from eventstore.workers import Worker
from tests.kit.units import NOON, PAST, Owner, actor, effect, send, unit

LONG_S = 3600.0


async def standings(store: EventStore) -> dict[tuple[str, str], int]:
    return {(row.effect_kind, row.standing): row.count for row in await store.backlog.effects()}


async def test_nothing_waits_in_an_empty_store(store: EventStore) -> None:
    assert await store.backlog.waits() == Waits()
    assert await store.backlog.effects() == []


async def test_partitions_without_a_lease_are_free(store: EventStore) -> None:
    one, other = UUID(int=1), UUID(int=2)
    await store.workers.beat(Worker(one), LONG_S)
    await store.workers.beat(Worker(other), -1.0)
    leases = await store.acquire([0, 1, 2], one, LONG_S, takeover=False)
    await store.acquire([3], other, -1.0, takeover=False)
    await store.release([2], one)
    await store.commit(Batch(tuple(Fence(x.partition, x.epoch, one, 7, "w") for x in leases[:2]), ()))
    waits = await store.backlog.waits()
    assert (waits.workers, waits.partitions, waits.partitions_free, waits.cursor_lowest) == (1, 4, 2, 0)


async def test_sends_wait_until_they_are_accepted(store: EventStore, owner: Owner) -> None:
    to = (send("s1", actor("a2")), send("s2", actor("a2")), send("s3", actor("a3")))
    await owner.commit(unit("a1", sends=to))
    waits = await store.backlog.waits()
    assert waits.sends == 3
    assert 0 <= waits.sends_oldest_s < LONG_S


async def test_what_waits_for_parked_actors_is_no_news_of_the_outbox(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", sends=(send("s1", actor("a2")),)))
    parks = Parking(actor("a2"), "KeyError")
    kept = Waiting(actor("a2"), "w1", "task.note.v1", b"{}", b"{}", NOON, "run")
    await owner.commit(unit("a4", command="c4", parks=(parks,), waits=(kept,)))
    waits = await store.backlog.waits()
    assert (waits.sends, waits.sends_oldest_s, waits.parked_commands) == (1, 0.0, 1)


async def test_asks_are_open_until_they_end(store: EventStore, owner: Owner) -> None:
    later = datetime.now(UTC) + timedelta(seconds=LONG_S)
    await owner.commit(unit("a1", asks=(NewAsk("c1", "_INBOX.1", later, "run"),)))
    waits = await store.backlog.waits()
    assert (waits.asks, waits.asks_overdue_s) == (1, 0.0)
    await owner.commit(unit("a2", command="c2", asks=(NewAsk("c2", "_INBOX.2", PAST, "run"),)))
    waits = await store.backlog.waits()
    assert waits.asks == 2
    assert waits.asks_overdue_s > LONG_S
    assert len(await store.asks.expire([0], 10)) == 1
    assert (await store.backlog.waits()).asks == 1


async def test_effects_by_how_they_stand(store: EventStore, owner: Owner) -> None:
    worker = UUID(int=9)
    keys = ("task/a1@1.0", "task/a1@1.1", "task/a1@1.2", "task/a1@1.3")
    orders = (effect("o1", WITHDRAW), effect("o2", DEADLINE, datetime.now(UTC) + timedelta(days=1)))
    wanted = tuple(effect(key, at=NOON + timedelta(seconds=n)) for n, key in enumerate(keys))
    await owner.commit(unit("a1", effects=(*wanted, effect("task/a1@1.4", "completion"), *orders)))
    assert await standings(store) == {("completion", "waiting"): 1, ("tool", "waiting"): 4}
    first, second, third = await store.claim_effects(["tool"], worker, LONG_S, 3)
    assert await standings(store) == {("completion", "waiting"): 1, ("tool", "running"): 3, ("tool", "waiting"): 1}
    await store.retry_effect(first, LONG_S)
    await store.effects.doubt(second, "who knows", None, 0)
    await store.effects.doubt(third, "who knows", None, 0)
    await store.effects.settle("demo", third.key, "failed", "it did not")
    assert await standings(store) == {
        ("completion", "waiting"): 1,
        **{("tool", standing): 1 for standing in ("delayed", "ending", "unknown", "waiting")},
    }
    ages = {row.standing: row.oldest_s for row in await store.backlog.effects() if row.effect_kind == "tool"}
    assert ages["delayed"] == 0.0, "it cannot be taken yet"
    assert 0 <= ages["waiting"] < LONG_S, "not from when it was wanted: it was due later"
    assert ages["unknown"] > LONG_S, "from when it was wanted"
