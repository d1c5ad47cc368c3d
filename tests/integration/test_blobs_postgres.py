"""Blobs on a real server: what only two transactions at once, a broken stream or an older program can show."""

import random
import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import replace
from time import monotonic
from typing import Any
from uuid import uuid4

import anyio
import asyncpg
import msgspec
import pytest

from eventstore.blobs import CHUNK_BYTES, GRACE_S, Sweep
from eventstore.errors import BlobMissing, UploadLost
from eventstore.names import names_in
from eventstore.postgres import blobs as postgres_blobs
from eventstore.postgres.migrate import MIGRATIONS
from eventstore.postgres.store import PostgresStore
from eventstore.store import EffectOutcome
from tests.kit.blobs import DAY_S, age_blobs, streamed
from tests.kit.units import NOON, PAST, Owner, actor, effect, event, external, send, timer, unit

OLD_S = GRACE_S + DAY_S
KEPT = b"what somebody may need"
BIG = bytes(range(256)) * (3 * CHUNK_BYTES // 256)
OLD_PUT = "insert into blobs (project, sha256, content) values ($1, $2, $3) on conflict do nothing"
OLD_GET = "select content from blobs where project = $1 and sha256 = $2"
SWEEP = "select blobs, size from sweep_blobs(array['demo'], array[decode($1, 'hex')], $2, $3::text::xid8, $4)"
PATIENCE_S = 20.0


@pytest.fixture
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


@pytest.fixture
async def owner(store: PostgresStore) -> Owner:
    return await Owner.of(store, 0, 1)


@pytest.fixture
async def other(database: str, store: PostgresStore) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody else's connection to the same schema."""
    connection = await asyncpg.connect(database, server_settings={"search_path": store.schema})
    yield connection
    await connection.close()


async def count(store: PostgresStore, table: str) -> int:
    return int(await store.pool.fetchval(f"select count(*) from {table}"))


async def put_old(store: PostgresStore, content: bytes = KEPT) -> str:
    sha256 = await store.blobs.put("demo", content)
    await age_blobs(store, OLD_S)
    return sha256


def saying(sha256: str) -> Any:
    return msgspec.structs.replace(event(), body=b'{"n":"%s"}' % sha256.encode())


async def breaking(chunks: int) -> AsyncGenerator[bytes]:
    for n in range(chunks):
        yield bytes([n]) * CHUNK_BYTES
    raise OSError("the disk is gone")


async def searched(store: PostgresStore) -> str:
    """Search the log and what is under way, as the beginning of a collection does."""
    while await store.pool.fetchval("select mark_blobs(1000)"):
        pass
    return str(await store.pool.fetchval("select begin_blob_sweep()::text"))


async def blocked(store: PostgresStore) -> None:
    """Wait until some transaction waits for another."""
    with anyio.fail_after(PATIENCE_S):
        while not await store.pool.fetchval("select count(*) from pg_locks where not granted"):
            await anyio.sleep(0.005)


async def test_a_broken_stream_is_swept_once_nobody_can_be_writing_it(store: PostgresStore) -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        await store.blobs.write("demo", breaking(3))
    assert (await count(store, "blob_uploads"), await count(store, "blob_chunks")) == (1, 2)
    assert await store.blobs.collect() == Sweep(0, 0, 0)
    assert await count(store, "blob_chunks") == 2
    await age_blobs(store, OLD_S)
    assert await store.blobs.collect() == Sweep(0, 0, 1)
    for table in ("blobs", "blob_uploads", "blob_chunks", "blob_names"):
        assert await count(store, table) == 0


@pytest.mark.parametrize("half_done", [False, True])
async def test_a_stream_that_rested_for_too_long_is_told(store: PostgresStore, half_done: bool) -> None:
    async def resting() -> AsyncGenerator[bytes]:
        yield BIG
        await age_blobs(store, OLD_S)
        if half_done:  # A collection that declared it dead, and has not dropped its chunks yet.
            await store.pool.execute("select expire_blob_uploads($1)", GRACE_S)
        else:
            await store.blobs.collect()
        yield BIG

    with pytest.raises(UploadLost, match="from its beginning"):
        await store.blobs.write("demo", resting())
    assert await count(store, "blobs") == 0
    await store.blobs.collect()
    assert await count(store, "blob_chunks") == 0


async def test_a_stream_is_not_published_once_it_was_given_up(store: PostgresStore) -> None:
    async def ending_late() -> AsyncGenerator[bytes]:
        yield BIG
        await store.pool.execute("update blob_uploads set dead = true")

    with pytest.raises(UploadLost):
        await store.blobs.write("demo", ending_late())
    assert await count(store, "blobs") == 0


async def test_what_an_upload_names_is_kept_before_it_is_a_blob(store: PostgresStore) -> None:
    sha256 = await put_old(store)

    async def naming() -> AsyncGenerator[bytes]:
        yield sha256.encode() + b"-" * CHUNK_BYTES
        yield b"-" * CHUNK_BYTES
        assert (await store.blobs.collect()).blobs == 0

    await store.blobs.write("demo", naming())
    assert await store.blobs.get("demo", sha256) == KEPT


async def test_of_two_streams_of_the_same_bytes_one_is_kept(store: PostgresStore) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(store.blobs.write, "demo", streamed([BIG]))
    assert await count(store, "blobs") == 1
    assert await store.blobs.collect() == Sweep(0, 0, 0)  # It also takes the chunks that nobody needs.
    assert (await count(store, "blob_uploads"), await count(store, "blob_chunks")) == (0, 3)


async def test_a_put_that_meets_its_deletion_stores_the_blob_anew(
    store: PostgresStore, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    sha256 = await put_old(store)
    since = await searched(store)
    async with anyio.create_task_group() as group, other.transaction():
        assert tuple(await other.fetchrow(SWEEP, sha256, GRACE_S, since, 0) or ()) == (1, len(KEPT))
        group.start_soon(store.blobs.put, "demo", KEPT)
        await blocked(store)
    # The deletion was committed first, and the put went on.
    assert await store.blobs.get("demo", sha256) == KEPT
    assert (await store.blobs.collect()).blobs == 0


@pytest.mark.parametrize("old_code", [False, True])
async def test_a_deletion_that_meets_a_put_leaves_the_blob(
    store: PostgresStore, other: "asyncpg.Connection[asyncpg.Record]", old_code: bool
) -> None:
    sha256 = await put_old(store)
    async with other.transaction():
        if old_code:
            await other.execute(OLD_PUT, "demo", bytes.fromhex(sha256), KEPT)
        else:
            await other.execute("select put_blob('demo', $1, $2, '{}')", bytes.fromhex(sha256), KEPT)
        assert (await store.blobs.collect()).blobs == 0  # It waits for nobody.
    assert (await store.blobs.collect()).blobs == 0
    assert await store.blobs.get("demo", sha256) == KEPT


async def test_a_put_after_the_choice_saves_the_blob(store: PostgresStore) -> None:
    sha256 = await put_old(store)
    since = await searched(store)
    await store.blobs.put("demo", KEPT)
    assert tuple(await store.pool.fetchrow(SWEEP, sha256, GRACE_S, since, 0) or ()) == (0, 0)


@pytest.mark.parametrize("place", ["event", "command", "send", "timer", "effect", "firing", "outcome"])
async def test_what_is_named_after_the_search_and_before_the_lock_is_kept(
    store: PostgresStore, owner: Owner, place: str
) -> None:
    body = (await put_old(store)).encode()
    await owner.commit(
        unit("a9", command="c9", timers=(timer("due", PAST, body if place == "firing" else b"{}"),)),
        unit("a8", command="c8", effects=(effect("task/a8@1.0"),)),
    )
    (claimed,) = await store.claim_effects(["tool"], uuid4(), 60, 1)
    if place == "firing":  # Only the row is to name it, which the firing will write.
        await store.pool.execute("update timers set body = '{}'")
    since = await searched(store)
    await store.pool.execute("update timers set body = $1 where $2", body, place == "firing")
    match place:
        case "event":
            await owner.commit(unit(events=(saying(body.decode()),)))
        case "command":
            await owner.commit(unit(events=0, settled=(external(body=body),)))
        case "send":
            await owner.commit(unit(sends=(msgspec.structs.replace(send("s1", actor("a2")), body=body),)))
        case "timer":
            await owner.commit(unit(timers=(replace(timer("t", NOON), body=body),)))
        case "effect":
            await owner.commit(unit(effects=(replace(effect("task/a1@1.0"), body=body),)))
        case "outcome":
            assert await store.finish_effect(claimed, EffectOutcome("task.note.v1", body, NOON), 0)
        case _:
            assert await store.fire_timers(10)
    await store.release_claims([uuid4()])
    swept = await store.pool.fetchrow(SWEEP, body.decode(), GRACE_S, since, 10)
    assert tuple(swept or ()) == (0, 0)


async def test_a_blob_that_names_another_saves_it_to_the_last(
    store: PostgresStore, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    sha256 = await put_old(store)
    since = await searched(store)
    holder = f"after {sha256}".encode()
    # What an older program stored has to be read first: nothing is taken before.
    await other.execute(OLD_PUT, "other", bytes(32), holder)
    assert await store.pool.fetchrow(SWEEP, sha256, GRACE_S, since, 0) is None
    since = await searched(store)
    await store.blobs.put("demo", holder)
    assert tuple(await store.pool.fetchrow(SWEEP, sha256, GRACE_S, since, 0) or ()) == (0, 0)


async def test_a_log_that_runs_away_is_searched_again_outside_its_lock(store: PostgresStore, owner: Owner) -> None:
    sha256 = await put_old(store)
    since = await searched(store)
    await owner.commit(unit(events=6))
    assert await store.pool.fetchrow(SWEEP, sha256, GRACE_S, since, 5) is None
    assert tuple(await store.pool.fetchrow(SWEEP, sha256, GRACE_S, since, 6) or ()) == (1, len(KEPT))


async def test_numbers_that_no_row_got_hold_nothing_up(store: PostgresStore, owner: Owner) -> None:
    """A commit that was undone leaves a hole in the inbox's numbers, however wide."""
    await put_old(store)
    await store.pool.execute("select setval(pg_get_serial_sequence('inbox', 'n'), 1000000)")
    assert await store.blobs.collect() == Sweep(1, len(KEPT), 0)
    kept = await put_old(store)
    await store.pool.execute("select setval(pg_get_serial_sequence('inbox', 'n'), 1005000)")
    await owner.commit(unit(events=0, settled=(external(body=kept.encode()),)))
    assert await store.blobs.collect() == Sweep(0, 0, 0)


async def test_the_rows_of_a_commit_may_share_their_number(
    store: PostgresStore, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_blobs, "MARK_ROWS_MAX", 2)
    names = [await put_old(store, b"content %d" % n) for n in range(7)]
    for n, half in enumerate((names[:3], names[3:6])):
        commands = tuple(external(f"c{n}-{k}", body=sha256.encode()) for k, sha256 in enumerate(half))
        await owner.commit(unit(f"a{n}", events=0, settled=commands))
        await store.pool.execute("update inbox set n = $1 where name = $2", 10 * n + 5, f"a{n}")
    assert (await store.blobs.collect()).blobs == 1
    assert {blob.sha256 async for blob in store.blobs.each()} == set(names[:6])


async def test_a_collection_gives_up_on_a_log_that_is_always_ahead(
    store: PostgresStore, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = await put_old(store)
    await owner.commit(unit(events=1))
    monkeypatch.setattr(postgres_blobs, "AHEAD_ROWS_MAX", -1)  # However little it is behind, it is too much.
    assert await store.blobs.collect() == Sweep(0, 0, 0, complete=False)
    assert await store.blobs.get("demo", sha256) == KEPT


async def test_a_log_longer_than_a_page_is_searched_to_its_end(
    store: PostgresStore, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_blobs, "MARK_ROWS_MAX", 3)
    names = [await put_old(store, b"content %d" % n) for n in range(8)]
    for n, sha256 in enumerate(names[:4]):
        await owner.commit(unit(f"a{n}", command=f"c{n}", events=(event(), saying(sha256), event())))
    commands = [external(f"d{n}", body=sha256.encode()) for n, sha256 in enumerate(names[4:7])]
    await store.pool.execute("select setval(pg_get_serial_sequence('inbox', 'n'), 1000)")  # Numbers that nobody got.
    await owner.commit(unit("z", events=0, settled=tuple(commands)))
    assert (await store.blobs.collect()).blobs == 1
    assert {blob.sha256 async for blob in store.blobs.each()} == set(names[:7])


async def test_big_garbage_goes_a_part_at_a_time(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_blobs, "SWEEP_BYTES_MAX", 25)
    sizes = (10, 10, 10, 30, 5, 20)
    for n, size in enumerate(sizes):
        await store.blobs.put("demo", b"%d" % n * size)
    await age_blobs(store, OLD_S)
    assert await store.blobs.collect() == Sweep(len(sizes), sum(sizes), 0)


async def test_the_inbox_is_searched_by_its_index(store: PostgresStore, owner: Owner) -> None:
    """It may hold millions of rows that were searched long ago."""
    await owner.commit(unit(events=0))
    async with store.pool.acquire() as connection:
        await connection.execute("select mark_blobs(10)")
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("select pg_stat_clear_snapshot()")
        scans = "select idx_scan from pg_stat_user_indexes where indexrelname = 'inbox_n' and schemaname = $1"
        assert await connection.fetchval(scans, store.schema) > 0


async def test_a_reader_is_told_that_its_blob_was_collected(store: PostgresStore) -> None:
    ref = await store.blobs.write("demo", streamed([BIG]))
    reading = store.blobs.open("demo", ref.sha256)
    assert len(await anext(reading)) == CHUNK_BYTES
    await age_blobs(store, OLD_S)
    await store.blobs.collect()
    with pytest.raises(BlobMissing, match=ref.sha256):
        await anext(reading)


async def test_an_older_program_stores_and_reads_beside_this_one(
    store: PostgresStore, other: "asyncpg.Connection[asyncpg.Record]", owner: Owner
) -> None:
    named = await put_old(store)
    holder = b'{"previous":"%s"}' % named.encode()
    digest = bytes.fromhex(await store.blobs.put("other", holder))
    await other.execute(OLD_PUT, "demo", digest, holder)
    assert await other.fetchval(OLD_GET, "demo", digest) == holder
    assert await store.blobs.get("demo", digest.hex()) == holder
    await owner.commit(unit(events=(saying(digest.hex()),)))
    await age_blobs(store, OLD_S)
    assert (await store.blobs.collect()).blobs == 1, "the copy in the other project, which nobody names"
    assert await store.blobs.get("demo", named) == KEPT
    # What lies in chunks it does not find; it never reads other bytes.
    big = await store.blobs.write("demo", streamed([BIG]))
    assert await other.fetchval(OLD_GET, "demo", bytes.fromhex(big.sha256)) is None
    await other.execute(OLD_PUT, "demo", bytes.fromhex(big.sha256), BIG)
    assert await store.blobs.get("demo", big.sha256) == BIG


async def test_what_an_older_schema_held_is_kept(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("create schema troupe; set search_path to troupe, public")
    for path in sorted(MIGRATIONS.glob("000[123]_*.sql")):
        await connection.execute(path.read_text("utf-8"))
    contents = [b"named by a command", b"named by nobody"]
    digests = [(await connection.fetchval("select sha256($1::bytea)", content)) for content in contents]
    for digest, content in zip(digests, contents, strict=True):
        await connection.execute(OLD_PUT, "demo", digest, content)
    await connection.execute(
        "insert into inbox (project, id, outbox, kind, name, type, sequence, outcome, detail, first_position, events, "
        "headers, body) values ('demo', 'c1', 0, 'task', 't1', 'x.y.v1', 1, 'silent', '', 0, 0, '', $1)",
        digests[0].hex().encode(),
    )
    for path in sorted(MIGRATIONS.glob("*.sql")):
        if path.name >= "0004":
            await connection.execute(path.read_text("utf-8"))
    await connection.close()
    async with PostgresStore.open(database, prepare=False) as store:
        await age_blobs(store, OLD_S)
        assert (await store.blobs.collect()).blobs == 1
        assert await store.blobs.get("demo", digests[0].hex()) == contents[0]


async def test_a_stream_needs_little_memory_however_long_it_is(store: PostgresStore) -> None:
    chunks = 64

    async def long() -> AsyncGenerator[bytes]:
        for n in range(chunks):
            yield n.to_bytes(4) * (CHUNK_BYTES // 4)

    await store.blobs.write("demo", streamed([BIG]))  # What is loaded once is not counted.
    tracemalloc.start()
    try:
        ref = await store.blobs.write("demo", long())
        async for _ in store.blobs.open("demo", ref.sha256):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ref.size == chunks * CHUNK_BYTES
    assert peak < 12 * CHUNK_BYTES


async def test_the_server_finds_every_name_that_this_program_finds(store: PostgresStore) -> None:
    chance = random.Random(11)
    digest = bytes(range(32))
    for _ in range(150):
        parts: list[bytes] = []
        for _ in range(chance.randrange(6)):
            name = chance.randbytes(32).hex().encode()
            parts.append(chance.choice([name, name.upper(), digest.hex().encode() * chance.randrange(5), b"f" * 9]))
            parts.append(chance.choice([b"", b'"', b"\\b", b"\xc3\xa9", b"\0", b"-" * 99, b"0" * chance.randrange(80)]))
        content = b"".join(parts)
        found = {row[0] for row in await store.pool.fetch("select names_in($1)", content)}
        assert found >= names_in(content)
        assert len(found) <= 2 * len(names_in(content)) + 12


async def test_writers_and_collectors_at_once_lose_nothing(
    store: PostgresStore, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many put the same few blobs and name them in time; what nobody names comes and goes meanwhile."""
    grace_s, writers, rounds = 1.0, 4, 20
    monkeypatch.setattr("eventstore.blobs.GRACE_S_MIN", 0.0)
    named: dict[str, bytes] = {}
    swept = 0
    chance = random.Random(3)

    async def write(writer: int) -> None:
        for n in range(rounds):
            content = b"content %d" % chance.randrange(60)
            begun = monotonic()
            sha256 = await store.blobs.put("demo", content)
            garbage = [b"%d of %d" % (n, writer), BIG[: chance.randrange(2) * 2_000_000]]
            await store.blobs.write("demo", streamed(garbage))
            if chance.random() < 0.5:
                continue
            name = f"w{writer}-{n}"
            await owner.commit(unit(name, command=name, partition=writer % 2, events=(saying(sha256),)))
            if monotonic() - begun < grace_s:  # Otherwise this machine was too slow for what the writer has to keep.
                named[sha256] = content

    async def collect(scope: anyio.CancelScope) -> None:
        nonlocal swept
        while not scope.cancel_called:
            await age_blobs(store, grace_s / 20)
            swept += (await store.blobs.collect(grace_s)).blobs

    async with anyio.create_task_group() as collecting:
        scope = anyio.CancelScope()
        collecting.start_soon(collect, scope)
        collecting.start_soon(collect, scope)
        async with anyio.create_task_group() as writing:
            for writer in range(writers):
                writing.start_soon(write, writer)
        scope.cancel()
    await age_blobs(store, OLD_S)
    assert named
    assert swept + (await store.blobs.collect(grace_s)).blobs > 0
    assert [bad async for bad in store.blobs.check()] == []
    for sha256, content in named.items():
        assert await store.blobs.get("demo", sha256) == content
