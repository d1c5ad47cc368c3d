"""Connections to PostgreSQL: two pools, the listener, and what the driver's errors mean to the port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import anyio
import asyncpg
from asyncpg.pool import PoolConnectionProxy

from eventstore.errors import StoreClosed, StoreError, StoreUnavailable, StoreUnreachable
from eventstore.postgres.faults import RAISED, fault, refusal

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

POOL_CONNECTIONS_MAX = 8
COMMIT_CONNECTIONS_MAX = 2  # Commits wait for one another under the log's lock: more in flight gain nothing.
KEY_CONNECTIONS_MAX = 2
CONNECT_TIMEOUT_S = 10.0
RELEASE_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 60.0  # Client side; a read that takes longer is broken, not slow.
COMMIT_TIMEOUT_MS = 1_600  # Below a third of the lease: a commit that hangs ends before its owner must renew.
LOCK_TIMEOUT_MS = 1_000
GENERAL_LOCK_TIMEOUT_MS = 10_000  # Of everything but commits: below STATEMENT_TIMEOUT_S, so that the holder is named.
_COMMON = {
    "application_name": "troupe",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    # Plans are made once, when tables are small, and must be right when they are big: look up, never scan.
    "enable_seqscan": "off",
    # Of a page a bitmap would fetch the whole range, to sort it; an index hands rows out in order.
    "enable_bitmapscan": "off",
    # Each statement of a commit must see what was committed before it got the log's lock.
    "default_transaction_isolation": "read committed",
    "lock_timeout": f"{GENERAL_LOCK_TIMEOUT_MS}ms",
}
_COMMIT = {
    "transaction_timeout": f"{COMMIT_TIMEOUT_MS}ms",
    "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
    # A client that reads nothing fills its socket, and a server that waits to write hears no other time-out: rows are
    # sent before the commit, so it would hold the log's lock for as long as that client is frozen.
    "tcp_user_timeout": f"{COMMIT_TIMEOUT_MS}ms",
}


@asynccontextmanager
async def errors(doing: str) -> AsyncGenerator[None]:
    """What the driver raises, as what the port promises."""
    try:
        yield
    except RAISED as error:
        raise fault(doing, error) from error


async def connect(dsn: str, application_name: str = "troupe", **settings: str) -> Session:
    """A connection of its own. StoreUnreachable, StoreRefused, BadInput for a URL that is none."""
    try:
        return await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": application_name} | settings
        )
    except ValueError as error:
        raise refusal(dsn, error) from None  # It may quote the password.
    except RAISED as error:
        raise refusal(dsn, error) from error


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncGenerator[Connection]:
    """A connection of `pool`, given back whatever happens. StoreUnreachable when there is none: nothing was sent."""
    connection = await _borrow(pool)
    try:
        yield connection
    finally:
        await _give_back(pool, connection)


async def _borrow(pool: Pool) -> Connection:
    try:
        async with errors("connect to PostgreSQL"):
            return await pool.acquire(timeout=CONNECT_TIMEOUT_S)
    except StoreError as error:
        if pool.is_closing():
            raise closed() from error
        if type(error) is StoreUnavailable:
            raise StoreUnreachable(f"{error}; nothing was sent") from error
        raise


async def _give_back(pool: Pool, connection: Connection) -> None:
    with anyio.CancelScope(shield=True):
        async with errors("give a connection back"):
            await pool.release(connection, timeout=RELEASE_TIMEOUT_S)


class Kept:
    """One connection of a pool that stays borrowed between two calls: taking it and giving it back each time costs as
    much of this process's time as a small commit. One on which something went wrong is given back, to be looked at."""

    def __init__(self) -> None:
        self._kept: Connection | None = None
        self._pool: Pool | None = None

    @asynccontextmanager
    async def lend(self, pool: Pool) -> AsyncGenerator[Connection]:
        """Like `borrowed`. Whoever comes while it is lent gets another."""
        connection, self._kept, self._pool = self._kept, None, pool
        if connection is not None and _gone(connection):
            await _give_back(pool, connection)
            connection = None
        connection = connection or await _borrow(pool)
        try:
            yield connection
        except BaseException:
            await _give_back(pool, connection)
            raise
        if self._kept is None and not pool.is_closing():
            self._kept = connection
        else:
            await _give_back(pool, connection)

    async def give_back(self) -> None:
        """Keep none."""
        kept, self._kept = self._kept, None
        if kept is not None and self._pool is not None:
            await _give_back(self._pool, kept)


def _gone(connection: Connection) -> bool:
    """Has the server hung up? The pool may have taken such a connection back by itself: then nothing of it is ours."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


def closed() -> StoreClosed:
    return StoreClosed("the store was closed in this process: open it again with PostgresStore.open")


@asynccontextmanager
async def pools(dsn: str, schema: str) -> AsyncGenerator[tuple[Pool, Pool]]:
    """A pool for everything, and one for commits, whose time is bounded by the server. Closed at the end."""
    search_path = {"search_path": f'"{schema}", public'}
    async with errors("connect to PostgreSQL"):
        general = await _pool(dsn, POOL_CONNECTIONS_MAX, _COMMON | search_path)
        try:
            committing = await _pool(dsn, COMMIT_CONNECTIONS_MAX, _COMMON | _COMMIT | search_path)
        except BaseException:
            general.terminate()
            raise
    try:
        yield general, committing
    finally:
        for pool in (committing, general):
            await _close(pool)


@asynccontextmanager
async def key_pool(dsn: str, schema: str) -> AsyncGenerator[Pool]:
    """A small pool on the schema that has a fork's subject keys. Closed at the end."""
    async with errors("connect to PostgreSQL"):
        pool = await _pool(dsn, KEY_CONNECTIONS_MAX, _COMMON | {"search_path": f'"{schema}", public'})
    try:
        yield pool
    finally:
        await _close(pool)


async def _pool(dsn: str, connections_max: int, settings: dict[str, str]) -> Pool:
    async def keep(connection: Any) -> None:
        """Nothing to reset: no statement of ours changes a session, and the default costs a round trip a statement."""

    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=connections_max,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=STATEMENT_TIMEOUT_S,
        server_settings=settings,
        reset=keep,
    )


async def _close(pool: Pool) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(CONNECT_TIMEOUT_S) as closing:
        try:
            await pool.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()  # The server is gone: there is nobody to say goodbye to.
    if closing.cancelled_caught:
        pool.terminate()


class Listener:
    """One connection that hears of commits. A lost one wakes everybody and is replaced at the next `ready`."""

    def __init__(self, dsn: str, channel: str) -> None:
        self._dsn, self._channel = dsn, channel
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._connecting = anyio.Lock()
        self._woken = anyio.Event()
        self._closed = False

    @property
    def next(self) -> anyio.Event:
        """Set at the next commit heard of. Take it before looking at the log, or a commit in between is missed."""
        return self._woken

    async def ready(self) -> None:
        """Be listening. StoreUnavailable if that cannot be."""
        async with self._connecting:
            if self._closed:
                raise closed()
            if self._connection is not None and not self._connection.is_closed():
                return
            connection = await connect(self._dsn, "troupe listener")
            try:
                async with errors("listen for new events"):
                    connection.add_termination_listener(self._wake)
                    await connection.add_listener(self._channel, self._wake)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection

    async def close(self) -> None:
        self._closed = True
        self._wake()
        if self._connection is not None:
            with anyio.CancelScope(shield=True), suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connection.close(timeout=RELEASE_TIMEOUT_S)

    def _wake(self, *_: object) -> None:
        self._woken.set()
        self._woken = anyio.Event()
