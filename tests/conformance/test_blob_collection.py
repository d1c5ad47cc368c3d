"""Garbage collection of blobs: whatever names a blob keeps it; what nobody names goes after the grace, not before."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from msgspec import structs

from eventstore.blobs import CHUNK_BYTES, GRACE_S, GRACE_S_MIN, Sweep
from eventstore.errors import StoreError
from eventstore.forking import Wanted
from eventstore.snapshots import Snapshot
from eventstore.store import EffectOutcome, EventStore, NewEvent, Unit
from tests.kit.blobs import DAY_S, age_blobs, age_effects, streamed
from tests.kit.units import FUTURE, NOON, Owner, actor, effect, event, external, send, timer, unit

KEPT = b"what somebody may need"
OLD_S = GRACE_S + DAY_S


def saying(text: str, project: str = "demo") -> NewEvent:
    return structs.replace(event(), body=b'{"n":"%s"}' % text.encode())


async def put_old(store: EventStore, content: bytes = KEPT, project: str = "demo") -> str:
    sha256 = await store.blobs.put(project, content)
    await age_blobs(store, OLD_S)
    return sha256


async def there(store: EventStore, sha256: str, project: str = "demo") -> bool:
    return await store.blobs.stat(project, sha256) is not None


async def by_event(store: EventStore, owner: Owner, sha256: str) -> None:
    await owner.commit(unit(events=(saying(f"sha256:{sha256}"),)))


async def by_plain_append(store: EventStore, owner: Owner, sha256: str) -> None:
    await store.append(actor("free"), [saying(sha256.upper())])


async def by_command(store: EventStore, owner: Owner, sha256: str) -> None:
    await owner.commit(unit(events=0, settled=(external(body=b'{"of":"%s"}' % sha256.encode()),)))


async def by_header(store: EventStore, owner: Owner, sha256: str) -> None:
    await owner.commit(unit(events=0, settled=(structs.replace(external(), headers=b'{"x":"%s"}' % sha256.encode()),)))


async def by_send(store: EventStore, owner: Owner, sha256: str) -> None:
    await owner.commit(unit(sends=(structs.replace(send("s1", actor("a2")), body=sha256.encode()),)))


async def by_timer(store: EventStore, owner: Owner, sha256: str) -> None:
    await owner.commit(unit(timers=(timer("t", FUTURE, sha256.encode()),)))


async def by_work(store: EventStore, owner: Owner, sha256: str) -> None:
    await owner.commit(unit(effects=(replace(effect("task/a1@1.0"), body=sha256.encode()),)))


async def by_outcome(store: EventStore, owner: Owner, sha256: str) -> None:
    await owner.commit(unit(effects=(effect("task/a1@1.0"),)))
    (claimed,) = await store.claim_effects(["tool"], uuid4(), 60, 1)
    assert await store.finish_effect(claimed, EffectOutcome("task.note.v1", sha256.encode(), NOON), 0)


async def by_snapshot(store: EventStore, owner: Owner, sha256: str) -> None:
    await owner.commit(unit())
    assert await store.snapshots.put(Snapshot(actor(), 1, "s", sha256.encode()))


async def by_blob(store: EventStore, owner: Owner, sha256: str) -> None:
    holder = await store.blobs.put("demo", b'{"previous":"%s"}' % sha256.encode())
    await by_event(store, owner, holder)
    await age_blobs(store, OLD_S)


async def by_stream(store: EventStore, owner: Owner, sha256: str) -> None:
    content = b"-" * (CHUNK_BYTES - 30) + sha256.encode() + b"-"  # The name is cut in two.
    holder = await store.blobs.write("demo", streamed([content]))
    await by_event(store, owner, holder.sha256)
    await age_blobs(store, OLD_S)


@pytest.mark.parametrize(
    "name_it",
    [
        by_event, by_plain_append, by_command, by_header, by_send, by_timer, by_work, by_outcome, by_snapshot, by_blob,
        by_stream,
    ],
)  # fmt: skip
async def test_whatever_names_a_blob_keeps_it(
    store: EventStore, owner: Owner, name_it: Callable[[EventStore, Owner, str], Awaitable[None]]
) -> None:
    kept, lost = await put_old(store), await put_old(store, b"nobody needs this")
    await name_it(store, owner, kept)
    swept = await store.blobs.collect()
    assert swept == Sweep(1, len(b"nobody needs this"), 0)
    assert await store.blobs.get("demo", kept) == KEPT
    assert not await there(store, lost)


async def test_it_keeps_what_is_younger_than_the_grace(store: EventStore) -> None:
    sha256 = await store.blobs.put("demo", KEPT)
    await age_blobs(store, GRACE_S - 60)
    assert await store.blobs.collect() == Sweep(0, 0, 0)
    assert await there(store, sha256)
    assert (await store.blobs.collect(grace_s=GRACE_S - 120)).blobs == 1


@pytest.mark.parametrize("again", ["put", "write"])
async def test_putting_a_blob_again_begins_its_grace_anew(store: EventStore, again: str) -> None:
    sha256 = await put_old(store)
    if again == "put":
        await store.blobs.put("demo", KEPT)
    else:
        await store.blobs.write("demo", streamed([KEPT]))
    assert (await store.blobs.collect()).blobs == 0
    assert await store.blobs.get("demo", sha256) == KEPT


@pytest.mark.parametrize("size", [7, 3 * CHUNK_BYTES])
async def test_what_was_collected_can_be_put_again(store: EventStore, size: int) -> None:
    first = await store.blobs.write("demo", streamed([b"x" * size]))
    await age_blobs(store, OLD_S)
    assert await store.blobs.collect() == Sweep(1, size, 0)
    assert not await there(store, first.sha256)
    assert await store.blobs.write("demo", streamed([b"x" * size])) == first
    assert await store.blobs.get("demo", first.sha256) == b"x" * size


async def test_a_name_in_another_project_keeps_nothing(store: EventStore, owner: Owner) -> None:
    sha256 = await put_old(store, project="other")
    await by_event(store, owner, sha256)
    assert (await store.blobs.collect()).blobs == 1
    assert not await there(store, sha256, "other")


async def test_a_name_that_came_before_its_blob_keeps_it(store: EventStore, owner: Owner) -> None:
    sha256 = await put_old(store)
    assert (await store.blobs.collect()).blobs == 1
    await by_event(store, owner, sha256)
    assert (await store.blobs.collect()).blobs == 0  # The log is searched, and the blob is not there.
    await put_old(store)
    assert (await store.blobs.collect()).blobs == 0
    assert await there(store, sha256)


async def test_blobs_that_only_garbage_names_go_with_it(store: EventStore) -> None:
    links = [await store.blobs.put("demo", b"first")]
    for n in range(4):
        links.append(await store.blobs.put("demo", b"%d after %s" % (n, links[-1].encode())))
    await age_blobs(store, OLD_S)
    assert (await store.blobs.collect()).blobs == len(links)
    assert [blob async for blob in store.blobs.each()] == []


async def test_a_chain_of_blobs_is_kept_by_the_name_of_its_end(store: EventStore, owner: Owner) -> None:
    links = [await store.blobs.put("demo", b"first")]
    for n in range(4):
        links.append(await store.blobs.put("demo", b"%d after %s" % (n, links[-1].encode())))
    await by_event(store, owner, links[-1])
    await age_blobs(store, OLD_S)
    assert (await store.blobs.collect()).blobs == 0


async def test_a_rehearsal_takes_nothing(store: EventStore) -> None:
    names = [await store.blobs.put("demo", b"content %d" % n) for n in range(3)]
    await age_blobs(store, OLD_S)
    assert await store.blobs.collect(dry_run=True) == Sweep(3, 27, 0)
    assert all([await there(store, sha256) for sha256 in names])


async def test_while_an_effect_is_claimed_its_worker_loses_nothing(store: EventStore, owner: Owner) -> None:
    """Its worker may have been frozen for longer than any grace, between putting a blob and naming it."""
    await owner.commit(unit(effects=(effect("task/a1@1.0"),)))
    (claimed,) = await store.claim_effects(["tool"], uuid4(), 60, 1)
    sha256 = await store.blobs.put("demo", KEPT)
    await age_effects(store, OLD_S)
    await age_blobs(store, OLD_S)
    assert (await store.blobs.collect()).blobs == 0
    assert await store.finish_effect(claimed, EffectOutcome("task.note.v1", sha256.encode(), NOON), 0)
    assert (await store.blobs.collect()).blobs == 0
    assert await store.blobs.get("demo", sha256) == KEPT


async def test_what_was_put_before_an_effect_fell_due_is_not_its(store: EventStore, owner: Owner) -> None:
    await put_old(store)
    await owner.commit(unit(effects=(effect("task/a1@1.0"),)))
    await store.claim_effects(["tool"], uuid4(), 60, 1)
    assert (await store.blobs.collect()).blobs == 1


@pytest.mark.parametrize("grace_s", [0.0, -1.0, GRACE_S_MIN - 1, float("nan")])
async def test_a_grace_that_no_writer_can_keep_is_refused(store: EventStore, grace_s: float) -> None:
    with pytest.raises(StoreError, match="3600"):
        await store.blobs.collect(grace_s)


async def test_a_send_that_was_accepted_is_searched_where_it_went(store: EventStore, owner: Owner) -> None:
    """The row is gone, its bytes are in nobody's inbox; the event it caused says what it said."""
    sha256 = await put_old(store)
    await by_send(store, owner, sha256)
    (pending,) = await store.pending_sends([actor("a2")], 1)
    accepted = Unit(
        1, actor("a2"), 0, (structs.replace(external(pending.id), outbox_id=pending.outbox_id, keep=False),)
    )
    await owner.commit(structs.replace(accepted, events=(saying(sha256),)))
    assert (await store.blobs.collect()).blobs == 0


async def test_more_garbage_than_one_transaction_takes_goes_at_once(store: EventStore, owner: Owner) -> None:
    names = [await store.blobs.put("demo", b"content %d" % n) for n in range(250)]
    await age_blobs(store, OLD_S)
    await owner.commit(unit(events=tuple(saying(sha256) for sha256 in names[:20])))
    assert (await store.blobs.collect()).blobs == 230
    assert {blob.sha256 async for blob in store.blobs.each()} == set(names[:20])


async def test_a_fork_keeps_what_is_yet_to_come_to_it(store: EventStore, owner: Owner) -> None:
    """What an effect came to later in the original answers it in the fork, whose log does not name it yet."""
    outcome, early, late = [await put_old(store, content) for content in (KEPT, b"named early", b"named late")]
    wanted = replace(effect("task/a1@1.0"), body=early.encode())
    await owner.commit(unit(effects=(wanted,)))
    (claimed,) = await store.claim_effects(["tool"], uuid4(), 60, 1)
    assert await store.finish_effect(claimed, EffectOutcome("task.note.v1", b'"%s"' % outcome.encode(), NOON), 0)
    await owner.commit(unit("a2", command="c2", events=(saying(late),)))
    async with store.forks.creating(1, "f1") as draft:
        await draft.want(Wanted(actor(), effects=(wanted,)))
        await draft.worked("demo", [(wanted.key, bytes(32))])
    async with store.forks.opened("f1") as fork:
        await age_blobs(fork, OLD_S)
        assert (await fork.blobs.collect()).blobs == 1
        assert [await there(fork, sha256) for sha256 in (outcome, early, late)] == [True, True, False]
        new = await fork.blobs.put("demo", b"the fork's own")
    assert (await store.blobs.collect()).blobs == 1, "what only the work named, which is done in the original"
    assert [await there(store, sha256) for sha256 in (outcome, early, late, new)] == [True, False, True, False]
