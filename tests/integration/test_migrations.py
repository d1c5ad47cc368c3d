"""A schema is brought up to date once, whoever tries and whenever they die; yesterday's code runs on today's schema."""

import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import anyio
import asyncpg
import pytest

from eventstore.postgres import migrate
from eventstore.postgres.store import PostgresStore
from eventstore.store import LogLocked, Selection, StoreError, StoreUnavailable
from tests.kit.old_code import OLD_MIGRATIONS, SETTINGS, OldCode, Session
from tests.kit.units import PAST, Owner, accepts, actor, effect, event, send, statuses, timer, unit

WAIT_S = 60.0
RETRY_S = 0.01
OPEN_ONCE = """
import sys, anyio
from eventstore.postgres.store import PostgresStore
async def main():
    async with PostgresStore.open(sys.argv[1]) as store:
        print(await store.head())
anyio.run(main)
"""

FREEZE_ONCE = """
import os, signal, sys, anyio
from eventstore.postgres import migrate
from eventstore.postgres.store import PostgresStore
migrate.FROZEN_S_MAX = 1
provide = migrate._provide_extension
async def freeze(connection):
    await provide(connection)
    print("freezes", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
migrate._provide_extension = freeze
async def main():
    async with PostgresStore.open(sys.argv[1]):
        pass
anyio.run(main)
"""


@pytest.fixture
async def outside(database: str) -> AsyncIterator[Session]:
    connection: Session = await asyncpg.connect(database, server_settings=SETTINGS)
    try:
        yield connection
    finally:
        connection.terminate()


def only(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the code know these migrations and no others."""
    everything = Path(migrate.__file__).parents[1] / "migrations"
    for name in names:
        (folder / name).write_bytes((everything / name).read_bytes())
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)


async def test_many_processes_at_once_bring_a_schema_up_to_date_once(database: str, outside: Session) -> None:
    said: list[bytes] = []

    async def run() -> None:
        process = await anyio.run_process([sys.executable, "-P", "-c", OPEN_ONCE, database], stderr=None)
        said.append(process.stdout)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(run)
    assert said == [b"0\n"] * 3
    names = [path.name for path in sorted(migrate.MIGRATIONS.glob("*.sql"))]
    assert [row[0] for row in await outside.fetch("select name from troupe.migrations order by at, name")] == names


async def test_one_that_freezes_in_the_middle_is_ended_and_another_goes_on(database: str, outside: Session) -> None:
    async with await anyio.open_process([sys.executable, "-P", "-c", FREEZE_ONCE, database], stderr=None) as frozen:
        assert frozen.stdout is not None
        with anyio.fail_after(WAIT_S):
            assert (await frozen.stdout.receive()).strip() == b"freezes"
            async with PostgresStore.open(database) as store:
                assert await store.head() == 0
        frozen.kill()
    names = [path.name for path in sorted(migrate.MIGRATIONS.glob("*.sql"))]
    assert [row[0] for row in await outside.fetch("select name from troupe.migrations order by at, name")] == names


async def test_another_that_migrates_is_waited_for_in_bounds_and_named(
    database: str, outside: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "WAIT_S_MAX", 1)
    async with outside.transaction():
        await outside.execute("select pg_advisory_xact_lock($1)", int.from_bytes(b"troupe"))
        with anyio.fail_after(WAIT_S), pytest.raises(LogLocked, match="another process migrates this database") as said:
            async with PostgresStore.open(database):
                pass
    assert f"pg_terminate_backend({outside.get_server_pid()})" in str(said.value)
    async with PostgresStore.open(database) as store:
        assert await store.head() == 0


async def test_a_migration_that_is_cut_off_leaves_nothing_half(
    database: str, outside: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        only(tmp_path, patch, *OLD_MIGRATIONS)
        (tmp_path / "9999_slow.sql").write_text("create table slow (n integer); select pg_sleep(1000);")
        async with anyio.create_task_group() as group:
            group.start_soon(_end_the_sleeper, outside)
            with pytest.raises(StoreUnavailable):
                await _open_and_close(database)
    assert await outside.fetchval("select count(*) from pg_namespace where nspname = 'troupe'") == 0
    async with PostgresStore.open(database) as store:
        assert await store.append(actor(), [event()]) == 1


async def _open_and_close(database: str) -> None:
    async with PostgresStore.open(database):
        pass


async def _end_the_sleeper(outside: Session) -> None:
    with anyio.fail_after(WAIT_S):
        while not await outside.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and wait_event = 'PgSleep'"
        ):
            await anyio.sleep(RETRY_S)


async def test_a_newer_schema_is_taken_as_it_is(database: str, outside: Session) -> None:
    """An older process joins while a deploy rolls: what it does not know of was made to be run on."""
    async with PostgresStore.open(database):
        pass
    await outside.execute("insert into troupe.migrations (name, sha256) values ('9999_future.sql', 'x')")
    async with PostgresStore.open(database) as store:
        assert await store.append(actor(), [event()]) == 1


async def test_yesterdays_code_runs_on_todays_schema_beside_todays(database: str, outside: Session) -> None:
    async with PostgresStore.open(database) as store:
        await _side_by_side(store, OldCode(outside))
        assert (await store.audit.verify()).broken is None


async def test_yesterdays_log_is_carried_on_by_today(
    database: str, outside: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = OldCode(outside)
    with monkeypatch.context() as patch:
        only(tmp_path, patch, *OLD_MIGRATIONS)
        await migrate.migrate(outside, "troupe")
        owner = uuid4()
        await old.rows("create_partitions", [0])
        (lease,) = await old.rows("acquire", [0], owner, 3600.0, True)
        assert lease["epoch"] == 1
        await old.append(actor("plain"), [event(1), event(2)])
        await old.rows("put_blob", "demo", hashlib.sha256(b"content").digest(), b"content")
        before = await old.read()
    async with PostgresStore.open(database) as store:
        assert [(r.position, r.address.name, r.version, r.type, r.body) for r in await store.read(0)] == before
        assert await store.blobs.get("demo", hashlib.sha256(b"content").hexdigest()) == b"content"
        await _side_by_side(store, old)
        assert (await store.audit.verify()).broken is None


async def _side_by_side(store: PostgresStore, old: OldCode) -> None:
    """A conversation of both on one log, in which each does all it can."""
    head = await store.head()
    owner = await Owner.of(store)
    assert await old.commit(owner.batch(unit("a1", events=2), cursor=1, witness="w"), known_digest=True) == [
        "committed"
    ]
    assert statuses(await owner.commit(unit("a1", 2, "c2"))) == ["committed"]
    assert await old.commit(owner.batch(unit("a1", 3, "c3"), unit("a1", 2, "c4")), known_digest=False) == [
        "committed",
        "conflict",
    ]
    assert statuses(await owner.commit(unit("a1"))) == ["known"], "what the old code settled is known to the new"
    assert await old.commit(owner.batch(unit("a9", 0, "c2")), known_digest=True) == ["known"], "and the reverse"
    assert await old.append(actor("old", kind="note"), [event(1)], 0) == head + 5
    assert await store.append(actor("old", kind="note"), [event(2)], 1) == head + 6
    assert await old.append(actor("old", kind="note"), [event(3)], 2) == head + 7
    with pytest.raises(StoreError):
        await store.append(actor("a1"), [event()])
    with pytest.raises(asyncpg.PostgresError, match="expected version 9, found 3"):
        await old.append(actor("old", kind="note"), [event(3)], 9)
    rows = await old.read(head)
    assert [(r.position, r.address.name, r.version, r.type, r.body) for r in await store.read(head)] == rows
    stream = await old.rows("read_stream", "demo", "task", "a1", 0, 100)
    assert [row["version"] for row in stream] == [1, 2, 3, 4]
    assert [row["id"] for row in await old.rows("inbox", "demo", ["c1", "c2", "zzz"])] == ["c1", "c2"]
    assert await old.rows("broken_links", head, head + 7, 10) == []
    assert len(await store.read(head, selection=Selection(name="a1"))) == 4
    await _follow(store, old, owner)


async def _follow(store: PostgresStore, old: OldCode, owner: Owner) -> None:
    """Sends, timers, effects, leases and blobs across both."""
    wanted = unit(
        "a1",
        4,
        "c5",
        sends=(send("s1", actor("b1")),),
        timers=(timer("t1", PAST),),
        effects=(effect("task/a1@5.0"),),
    )
    assert statuses(await owner.commit(wanted)) == ["committed"]
    (pending,) = await old.rows("pending_sends", ["demo"], ["task"], ["b1"], 10)
    assert await old.rows("overdue_sends", [0], -1.0, 10)
    accepting = owner.batch(unit("b1", 0, None, settled=(accepts(pending["id"], "s1"),)))
    assert await old.commit(accepting, known_digest=True) == ["committed"]
    assert await old.value("next_timer") < 0
    assert [row["name"] for row in await old.rows("fire_timers", 10)] == ["a1"]
    worker = uuid4()
    (claimed,) = await old.rows("claim_effects", ["tool"], worker, 60.0, 10)
    assert await old.session.execute("select 1")
    await old.rows("extend_claims", worker, 60.0)
    await old.rows("retry_effect", "demo", claimed["key"], claimed["claim"], -1.0)
    (claimed,) = await old.rows("claim_effects", ["tool"], worker, 60.0, 10)
    await old.rows("release_claims", worker)
    await old.rows("finish_effect", "demo", claimed["key"], claimed["claim"], 0, "task.note.v1", PAST, b"{}")
    assert {send.id for send in await store.pending_sends([actor("a1")], 10)} >= {"task/a1@5.0:outcome"}
    assert [row["id"] for row in await old.rows("renew", [0], owner.id, 3600.0)] == [0]
    await old.rows("release", [0], owner.id)
    for content in (b"small", bytes(100_000)):
        digest = hashlib.sha256(content).digest()
        await old.rows("put_blob", "demo", digest, content)
        assert await store.blobs.get("demo", digest.hex()) == content
        assert await old.value("get_blob", "demo", digest) == content
    sha256 = await store.blobs.put("demo", b"of the new code")
    assert await old.value("get_blob", "demo", bytes.fromhex(sha256)) == b"of the new code"
    assert await old.value("head") == await store.head()
