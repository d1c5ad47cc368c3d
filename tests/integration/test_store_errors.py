"""What a real server can do to a store: every error is typed, says what to do, and the store goes on by itself."""

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TypeAlias
from urllib.parse import urlsplit

import anyio
import asyncpg
import pytest

from actors.embedded.servers import Servers
from eventstore import appending
from eventstore.postgres import migrate
from eventstore.postgres.statements import Statements
from eventstore.postgres.store import PostgresStore
from eventstore.store import (
    NO_STREAM,
    Append,
    BadInput,
    LogLocked,
    StoreClosed,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    StoreUnreachable,
    StreamWrite,
    UnfitServer,
)
from tests.kit.servers import drop_database, fresh_database
from tests.kit.units import Owner, actor, event, statuses, unit
from tests.kit.wire import wire

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

WAIT_S = 30.0
RETRY_S = 0.02
PASSWORD = "s3cr3t-4711"


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


@pytest.fixture
async def outside(store: PostgresStore, database: str) -> AsyncIterator[Session]:
    """Somebody else's connection to the store's schema."""
    settings = {"search_path": "troupe, public", "application_name": "somebody"}
    connection: Session = await asyncpg.connect(database, server_settings=settings)
    try:
        yield connection
    finally:
        connection.terminate()


@pytest.fixture
async def bare(servers: Servers) -> AsyncIterator[str]:
    """The DSN of a database without the extension."""
    dsn = await fresh_database(servers, "template0")
    yield dsn
    await drop_database(servers, dsn)


async def with_role(dsn: str) -> tuple[str, str]:
    """A new role without rights of its own (but to connect), and the DSN with it and its password."""
    connection = await asyncpg.connect(dsn)
    name = f"role_{urlsplit(dsn).path[-12:]}"
    try:
        await connection.execute(f"create role {name} login password '{PASSWORD}'")
    finally:
        await connection.close()
    parts = urlsplit(dsn)
    return name, parts._replace(netloc=f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


async def drop_role(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"drop owned by {name} cascade")
        await connection.execute(f"drop role {name}")
    finally:
        await connection.close()


async def opened(dsn: str, schema: str = "troupe") -> None:
    async with PostgresStore.open(dsn, schema):
        pass


async def refused(dsn: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await opened(dsn)
    told = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in told
    return caught.value


async def test_a_closed_store_says_so_to_every_call(database: str) -> None:
    async with PostgresStore.open(database) as store:
        owner = await Owner.of(store)
        assert await store.wait_beyond(0, 0.05) is False
    calls: list[Callable[[], Awaitable[object]]] = [
        store.head,
        lambda: store.read(0),
        lambda: store.append(actor(), [event()]),
        lambda: store.append_all([Append((StreamWrite(actor(), (event(),)),))]),
        lambda: owner.commit(unit()),
        lambda: store.wait_beyond(0, WAIT_S),
        lambda: store.acquire([0], owner.id, 60, True),
    ]
    for call in calls:
        with anyio.fail_after(WAIT_S), pytest.raises(StoreClosed, match="open it again"):
            await call()


async def test_who_waits_when_the_store_is_closed_is_not_left_waiting(database: str) -> None:
    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group, PostgresStore.open(database) as store:
            assert await store.wait_beyond(0, 0.05) is False
            group.start_soon(store.wait_beyond, 0, 100 * WAIT_S)
            await anyio.wait_all_tasks_blocked()
            await store.head()


@pytest.mark.parametrize("lock", ["select lock_log(), 'word of mouth'", "select from partitions for update"])
async def test_a_lock_held_too_long_names_its_holder_and_what_to_do(
    store: PostgresStore, outside: Session, lock: str
) -> None:
    owner = await Owner.of(store)
    pid = await outside.fetchval("select pg_backend_pid()")
    async with outside.transaction():
        await outside.execute(lock)
        with anyio.fail_after(WAIT_S), pytest.raises(LogLocked, match="nothing was written") as caught:
            await owner.commit(unit("a1"))
        told = str(caught.value)
        assert f"held by process {pid} (application 'somebody', user " in told
        assert "idle in transaction, which began at 20" in told
        assert f"last statement: {lock.partition(',')[0]}" in told
        assert "word of mouth" not in told
        assert f"select pg_terminate_backend({pid})" in told
        if "lock_log" in lock:
            with pytest.raises(LogLocked, match=f"held by process {pid} "):
                await store.append(actor("a2"), [event()])
    assert statuses(await owner.commit(unit("a1"))) == ["committed"]
    assert await store.head() == 1


async def test_a_holder_that_has_let_go_meanwhile_is_not_looked_for_in_vain(store: PostgresStore) -> None:
    with pytest.raises(LogLocked, match="waited; whoever held the lock has let it go meanwhile: try again"):
        async with Statements(store.pool).connection("commit"):
            raise LogLocked("waited")


async def test_an_append_whose_answer_is_lost_finds_itself(
    store: PostgresStore, outside: Session, database: str
) -> None:
    server_port = int(await outside.fetchval("show port"))
    async with wire(database, server_port) as (cable, dsn), PostgresStore.open(dsn) as distant:
        await distant.append(actor("warm"), [event()], NO_STREAM)  # Types are numbered, statements prepared.
        await distant.append(actor("warm"), [event()], id="warm")
        appends: list[Callable[[], Coroutine[None, None, int]]] = [
            lambda: distant.append(actor("a"), [event(1)], NO_STREAM),
            lambda: distant.append(actor("b"), [event(2)], id="import-1"),
        ]
        for n, append in enumerate(appends, start=3):
            found: list[int] = []

            async def run(append: Callable[[], Coroutine[None, None, int]] = append, found: list[int] = found) -> None:
                found.append(await append())

            cable.lose_answers, cable.answers_lost = True, 0
            with anyio.fail_after(WAIT_S):
                async with anyio.create_task_group() as group:
                    group.start_soon(run)
                    while not cable.answers_lost:
                        await anyio.sleep(RETRY_S)
                    cable.lose_answers = False
            assert found == [n]
            assert await store.head() == n


async def test_an_append_that_cannot_be_told_is_not_sent_again(
    store: PostgresStore, outside: Session, database: str
) -> None:
    server_port = int(await outside.fetchval("show port"))
    async with wire(database, server_port) as (cable, dsn), PostgresStore.open(dsn) as distant:
        await distant.append(actor("warm"), [event()])
        cable.lose_answers = True
        with (
            anyio.fail_after(WAIT_S),
            pytest.raises(StoreUnavailable, match="give it an id or an expected version") as caught,
        ):
            await distant.append(actor("a"), [event()])
        assert "whether it happened is unknown: read the stream" in str(caught.value)
        cable.lose_answers = False
        assert [row.address.name for row in await store.read(0)] == ["warm", "a"]


async def test_an_outcome_that_stays_unknown_is_called_so_in_bounded_time(
    store: PostgresStore, outside: Session, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "APPEND_RETRY_S_MAX", 0.2)
    server_port = int(await outside.fetchval("show port"))
    async with wire(database, server_port) as (cable, dsn), PostgresStore.open(dsn) as distant:
        await distant.append(actor("warm"), [event()], NO_STREAM)
        cable.lose_answers = True
        with (
            anyio.fail_after(WAIT_S),
            pytest.raises(StoreUnavailable, match=r"is unknown after .* of trying") as caught,
        ):
            await distant.append(actor("a"), [event()], NO_STREAM)
        assert "send the identical append again" in str(caught.value)
        cable.lose_answers = False
        assert await distant.append(actor("a"), [event()], NO_STREAM) == 2


async def test_an_append_that_was_never_sent_says_so(store: PostgresStore, outside: Session, database: str) -> None:
    server_port = int(await outside.fetchval("show port"))
    async with wire(database, server_port) as (cable, dsn), PostgresStore.open(dsn) as distant:
        await cable.cut()
        with pytest.raises(StoreUnavailable):
            await distant.head()  # The pool's connection is known to be dead from here on.
        with pytest.raises(StoreUnreachable, match="nothing was sent"):
            await distant.append(actor("a"), [event()])
        cable.down = False
        assert await distant.append(actor("a"), [event()]) == 1


async def test_a_wrong_password_and_an_unknown_database_are_refused_with_what_to_do(bare: str) -> None:
    name, dsn = await with_role(bare)
    try:
        wrong = dsn.replace(name, f"not_{name}")
        error = await refused(wrong)
        assert isinstance(error, StoreRefused)
        assert "check user and password" in str(error)
        parts = urlsplit(dsn)
        nowhere = parts._replace(path="/nowhere").geturl()
        error = await refused(nowhere)
        assert isinstance(error, StoreRefused)
        assert f'{parts.hostname}:{parts.port}/nowhere: database "nowhere" does not exist; create it' in str(error)
    finally:
        await drop_role(bare, name)


@pytest.mark.parametrize(
    ("dsn", "type_", "says"),
    [
        (f"postgresql://user:{PASSWORD}@127.0.0.1:1/log", StoreUnreachable, "127.0.0.1:1/log.*is the server running"),
        (f"postgresql://user:{PASSWORD}@no-such-host.invalid/log", StoreUnreachable, "no-such-host.invalid:5432/log"),
        (f"postgresql://user:{PASSWORD}/more@127.0.0.1:1/log", BadInput, "%2F for /"),
        (f"postgresql://user:{PASSWORD}#more@127.0.0.1:1/log", BadInput, "%23 for #"),
        (f"postgresql://user:{PASSWORD}@[::1/log", BadInput, "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        (f"mysql://user:{PASSWORD}@127.0.0.1/log", BadInput, "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ],
)  # fmt: skip
async def test_an_address_that_leads_nowhere_is_told_without_the_password(
    dsn: str, type_: type[StoreError], says: str
) -> None:
    error = await refused(dsn)
    assert type(error) is type_
    with pytest.raises(type_, match=says):
        raise error


async def test_a_server_that_is_too_old_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "POSTGRES_MAJOR_MIN", 99)
    with pytest.raises(UnfitServer, match=r"is version 18\.\d+; Troupe needs 99 or newer: upgrade the server"):
        await opened(database)


async def test_a_server_without_the_extension_is_refused(bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "EXTENSION", "clairvoyance")
    with pytest.raises(UnfitServer, match="no extension 'clairvoyance': install pgvector on the server's machine"):
        await opened(bare)


async def test_who_may_not_create_the_extension_is_told_who_must(bare: str) -> None:
    name, dsn = await with_role(bare)
    owner = await asyncpg.connect(bare)
    try:
        await owner.execute(f"grant create on database {urlsplit(bare).path[1:]} to {name}")
        with pytest.raises(
            UnfitServer, match=rf"'{name}' may not create .* have a superuser run `create extension vector"
        ):
            await opened(dsn)
        await owner.execute("create extension vector schema public")
        await opened(dsn)
    finally:
        await owner.close()
        await drop_role(bare, name)


async def test_a_user_without_rights_is_refused_and_told_whom_to_ask(database: str) -> None:
    name, dsn = await with_role(database)
    try:
        with pytest.raises(StoreRefused, match=r"permission denied for database .* have the database's owner grant it"):
            await opened(dsn)
    finally:
        await drop_role(database, name)


async def test_two_that_begin_at_once_in_a_new_database_both_get_the_extension(bare: str) -> None:
    async with anyio.create_task_group() as group:
        for schema in ("one", "two", "one"):
            group.start_soon(opened, bare, schema)
    connection = await asyncpg.connect(bare)
    try:
        found = "select extnamespace::regnamespace::text from pg_extension where extname = 'vector'"
        assert await connection.fetchval(found) == "public"
    finally:
        await connection.close()


async def test_a_migration_behind_a_stuck_one_gives_up_in_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "WAIT_S_MAX", 1)
    stuck = await asyncpg.connect(database)
    try:
        async with stuck.transaction():
            await stuck.execute("select pg_advisory_xact_lock($1)", migrate._LOCK)  # pyright: ignore[reportPrivateUsage]
            said = r"up to date.*nothing was changed; another process migrates"
            with anyio.fail_after(WAIT_S), pytest.raises(LogLocked, match=said):
                await opened(database)
        await opened(database)
    finally:
        await stuck.close()


async def test_the_view_for_people_shows_every_body(store: PostgresStore, outside: Session) -> None:
    """One odd body must not hide the others."""
    bodies = [b'{"n": 1}', b"no json", b"\xff\x00", b'{"nul": "\\u0000"}', b'"sealed:v1:k1:abc"', b""]
    for n, body in enumerate(bodies):
        new = event(n)
        await store.append(actor(), [type(new)(new.type, body, new.at, new.correlation, new.causation)])
    rows = await outside.fetch("select position, kind, name, version, type, body, taken_at from log order by position")
    assert [row["body"] for row in rows] == [
        '{"n": 1}',
        '"no json"',
        '{"base64": "/wA="}',
        '"{\\"nul\\": \\"\\\\u0000\\"}"',
        '"sealed:v1:k1:abc"',
        '""',
    ]
    taken = [row["taken_at"] for row in rows]
    assert taken == sorted(taken)
    assert taken == await outside.fetchval("select array_agg(at order by last_position) from commits")
    assert (rows[0]["kind"], rows[0]["name"], rows[0]["version"], rows[0]["type"]) == ("task", "a1", 1, "task.noted.v1")
