"""What only the real store can show: connections that die, many writers at once, migrations, the chain."""

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TypeAlias

import anyio
import asyncpg
import pytest
from anyio.lowlevel import checkpoint

from eventstore.postgres import migrate
from eventstore.postgres.store import PostgresStore
from eventstore.store import Batch, StoreError, StoreUnavailable, Verdict
from tests.kit.units import Owner, accepts, actor, cursors, effect, event, send, statuses, unit
from tests.kit.wire import wire

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

WAIT_S = 30.0  # A bound on what should happen at once.
RETRY_S = 0.02
LOCK_LOG = "select lock_log()"


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


@pytest.fixture
async def outside(store: PostgresStore, database: str) -> AsyncIterator[Session]:
    """Somebody else's connection to the store's schema."""
    connection: Session = await asyncpg.connect(database, server_settings={"search_path": "troupe, public"})
    try:
        yield connection
    finally:
        connection.terminate()


async def end_sessions(outside: Session, condition: str) -> int:
    """Have the server end the store's sessions that match."""
    return await outside.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity "
        f"where datname = current_database() and pid <> pg_backend_pid() and {condition}"
    )


async def someone_waits_for_the_log(outside: Session) -> None:
    with anyio.fail_after(WAIT_S):
        while not await outside.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"
        ):
            await anyio.sleep(RETRY_S)


async def until_available(store: PostgresStore, batch: Batch) -> tuple[Verdict, ...]:
    """Send the identical batch until its verdicts are known, as an owner does."""
    with anyio.fail_after(WAIT_S):
        while True:
            try:
                return await store.commit(batch)
            except StoreUnavailable:
                await anyio.sleep(RETRY_S)


async def together(*calls: Callable[[], Coroutine[None, None, object]]) -> None:
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


async def test_a_commit_through_one_store_wakes_a_reader_of_another(store: PostgresStore, database: str) -> None:
    async with PostgresStore.open(database) as reader:
        assert await reader.wait_beyond(0, 0.2) is False  # Listening from here on.
        with anyio.fail_after(WAIT_S):
            await together(lambda: reader.wait_beyond(0, 10 * WAIT_S), lambda: store.append(actor(), [event()]))


async def test_a_lost_listener_wakes_its_reader_and_is_replaced(store: PostgresStore, outside: Session) -> None:
    assert await store.wait_beyond(0, 0.2) is False
    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(store.wait_beyond, 0, 10 * WAIT_S)
            await checkpoint()
            assert await end_sessions(outside, "application_name = 'troupe listener'") == 1
        await together(lambda: store.wait_beyond(0, 10 * WAIT_S), lambda: store.append(actor(), [event()]))


async def test_a_session_ended_in_mid_commit_is_unavailable_and_the_batch_commits_once_afterwards(
    store: PostgresStore, outside: Session
) -> None:
    owner = await Owner.of(store)
    batch = owner.batch(unit("a1"), cursor=1, witness="w")

    async def commit() -> None:
        with pytest.raises(StoreUnavailable):
            await store.commit(batch)

    async def end() -> None:
        await someone_waits_for_the_log(outside)
        assert await end_sessions(outside, "wait_event = 'advisory'") == 1

    async with outside.transaction():
        await outside.execute(LOCK_LOG)
        await together(commit, end)
    assert statuses(await until_available(store, batch)) == ["committed"]
    assert await store.head() == 1


async def test_commits_keep_their_connection_until_something_goes_wrong_with_it(
    store: PostgresStore, outside: Session
) -> None:
    owner, lent = await Owner.of(store), vars(store)["_commits"]

    async def session() -> int:
        async with lent.connection("look") as connection:
            return await connection.fetchval("select pg_backend_pid()")

    first = await session()
    assert statuses(await owner.commit(unit("a1"))) == ["committed"]
    assert await session() == first
    async with lent.connection("look") as one, lent.connection("look") as another:
        assert one is not another, "whoever comes while it is lent gets another"
    with pytest.raises(StoreError):
        async with lent.connection("break") as connection:
            await connection.fetchval("select no_such_thing")
    assert await session()
    assert await end_sessions(outside, f"pid = {await session()}") == 1
    batch = owner.batch(unit("a2", command="c2"))
    assert statuses(await until_available(store, batch)) == ["committed"]


async def test_a_commit_behind_a_stuck_writer_gives_up_in_time(store: PostgresStore, outside: Session) -> None:
    owner = await Owner.of(store)
    async with outside.transaction():
        await outside.execute(LOCK_LOG)
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            await store.commit(owner.batch(unit("a1")))
    assert statuses(await owner.commit(unit("a1"))) == ["committed"]


async def test_a_commit_whose_answer_is_lost_finds_itself_known_and_nothing_happens_twice(
    store: PostgresStore, outside: Session, database: str
) -> None:
    server_port = int(await outside.fetchval("show port"))
    async with wire(database, server_port) as (cable, dsn), PostgresStore.open(dsn) as distant:
        owner = await Owner.of(distant)
        # The first commits of a store have other answers before them: a type's number, the preparing of a statement.
        await owner.commit(unit("b1", command="start", sends=(send("s0", actor("a2")),)))
        await owner.commit(unit("b2", command="again"))
        (pending,) = await store.pending_sends([actor("a2")], 10)
        wanted = unit("a1", sends=(send("s1", actor("b1")),), effects=(effect("task/a1@1.0"),))
        accepting = unit("a2", settled=(accepts(pending.outbox_id, "s0"),))
        batch = owner.batch(wanted, accepting, cursor=1, witness="w")

        cable.lose_answers = True
        with pytest.raises(StoreUnavailable):
            await distant.commit(batch)
        assert cable.answers_lost == 1
        cable.lose_answers = False
        verdicts = await until_available(distant, batch)

    assert [(v.status, v.known) for v in verdicts] == [("known", ("c1",)), ("known", ("s0",))]
    assert await store.head() == 4
    assert len(await store.pending_sends([actor("b1")], 10)) == 1
    assert await cursors(store, 0) == {0: (1, "w")}


async def test_a_store_without_its_server_is_unavailable_and_recovers_by_itself(
    store: PostgresStore, outside: Session, database: str
) -> None:
    server_port = int(await outside.fetchval("show port"))
    async with wire(database, server_port) as (cable, dsn), PostgresStore.open(dsn) as distant:
        owner = await Owner.of(distant)
        batch = owner.batch(unit("a1"))
        assert await distant.wait_beyond(0, 0.2) is False
        await cable.cut()
        calls: list[Callable[[], Coroutine[None, None, object]]] = [
            distant.head,
            lambda: distant.commit(batch),
            lambda: distant.append(actor(), [event()]),
            lambda: distant.wait_beyond(0, WAIT_S),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable):
                await call()
        cable.down = False
        assert statuses(await until_available(distant, batch)) == ["committed"]
        assert await distant.wait_beyond(0, WAIT_S) is True
        with pytest.raises(StoreUnavailable):
            async with PostgresStore.open("postgresql://nobody@127.0.0.1:1/none"):
                pass


async def test_concurrent_writers_keep_positions_dense_and_a_reader_skips_nothing(
    store: PostgresStore, outside: Session, database: str
) -> None:
    writers, rounds = 4, 25
    total = writers * rounds * 2 + rounds
    seen: list[int] = []

    async def read() -> None:
        while len(seen) < total:
            after = seen[-1] if seen else 0
            rows = await store.read(after, limit=7)
            seen.extend(row.position for row in rows)
            if not rows:
                await store.wait_beyond(after, 1)

    async def commit(n: int) -> None:
        async with PostgresStore.open(database, prepare=False) as own:
            owner = await Owner.of(own, n)
            for i in range(rounds):
                units = (
                    unit(f"a{n}-{i}", command=f"x{n}-{i}", partition=n),
                    unit(f"a{n}", command=f"y{n}-{i}", partition=n, expected=i),
                )
                assert statuses(await owner.commit(*units, cursor=i)) == ["committed", "committed"]

    async def append() -> None:
        for i in range(rounds):
            await store.append(actor("plain"), [event(i)], expected=i)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(append)
            for n in range(writers):
                group.start_soon(commit, n)
    assert seen == list(range(1, total + 1))
    assert (await store.audit.verify()).broken is None
    links = await outside.fetch("select first_position, last_position from commits order by 1")
    assert [p for first, last in links for p in range(first, last + 1)] == seen


async def test_migrations_run_twice_and_by_many_at_once_apply_once(database: str) -> None:
    names = [path.name for path in sorted(migrate.MIGRATIONS.glob("*.sql"))]
    applied: list[str] = []

    async def run() -> None:
        connection: Session = await asyncpg.connect(database)
        try:
            applied.extend(await migrate.migrate(connection, "troupe"))
        finally:
            connection.terminate()

    await together(run, run, run)
    await run()
    assert applied == names


async def test_two_schemas_of_one_database_are_two_logs(store: PostgresStore, database: str) -> None:
    async with PostgresStore.open(database, schema="second") as second:
        await store.append(actor(), [event()])
        assert await second.wait_beyond(0, 0.2) is False
        assert await second.head() == 0
        owner = await Owner.of(second)
        assert statuses(await owner.commit(unit("a1"))) == ["committed"]
    assert await store.head() == 1


async def test_an_edited_migration_is_refused(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in migrate.MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path)
    async with PostgresStore.open(database):
        pass
    edited = tmp_path / "0003_append.sql"
    edited.write_text(edited.read_text() + "\n-- a small improvement\n")
    with pytest.raises(StoreError, match=r"0003_append\.sql differs .* new migration"):
        async with PostgresStore.open(database):
            pass


async def test_a_schema_name_that_could_be_sql_is_refused(database: str) -> None:
    with pytest.raises(StoreError, match="lower-case"):
        async with PostgresStore.open(database, schema='x"; drop schema public'):
            pass
