"""Connections to PostgreSQL: two pools, the listener, and what the driver's errors mean to the port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import anyio
import asyncpg
from asyncpg.pool import PoolConnectionProxy

from eventstore.errors import StoreError, StoreUnavailable

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

POOL_CONNECTIONS_MAX = 8
COMMIT_CONNECTIONS_MAX = 2  # Commits wait for one another under the log's lock: more in flight gain nothing.
CONNECT_TIMEOUT_S = 10.0
RELEASE_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 60.0  # Client side; a read that takes longer is broken, not slow.
COMMIT_TIMEOUT_MS = 1_600  # Below a third of the lease: a commit that hangs ends before its owner must renew.
LOCK_TIMEOUT_MS = 1_000
_COMMON = {
    "application_name": "troupe",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    # Plans are made once, when tables are small, and must be right when they are big: look up, never scan.
    "enable_seqscan": "off",
    # Each statement of a commit must see what was committed before it got the log's lock.
    "default_transaction_isolation": "read committed",
}
_COMMIT = {
    "transaction_timeout": f"{COMMIT_TIMEOUT_MS}ms",
    "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
}
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # A pooled connection that the server has just ended.
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # A server being demoted: its successor will take it.
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.exceptions.TransactionTimeoutError,
    TimeoutError,
    OSError,
)


@asynccontextmanager
async def errors(doing: str) -> AsyncGenerator[None]:
    """What the driver raises, as what the port promises."""
    try:
        yield
    except _LOST as error:
        if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
            raise StoreError(f"{doing}: {error}") from error  # A bad argument or DSN: trying again would not help.
        raise StoreUnavailable(f"{doing}: {type(error).__name__}: {error}") from error
    except asyncpg.PostgresError as error:
        raise StoreError(f"{doing}: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncGenerator[Connection]:
    """A connection of `pool`, given back whatever happens."""
    async with errors("connect to PostgreSQL"):
        connection = await pool.acquire(timeout=CONNECT_TIMEOUT_S)
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            async with errors("give a connection back"):
                await pool.release(connection, timeout=RELEASE_TIMEOUT_S)


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

    @property
    def next(self) -> anyio.Event:
        """Set at the next commit heard of. Take it before looking at the log, or a commit in between is missed."""
        return self._woken

    async def ready(self) -> None:
        """Be listening. StoreUnavailable if that cannot be."""
        async with self._connecting:
            if self._connection is not None and not self._connection.is_closed():
                return
            async with errors("listen for new events"):
                connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
                    self._dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "troupe listener"}
                )
                try:
                    connection.add_termination_listener(self._wake)
                    await connection.add_listener(self._channel, self._wake)
                except BaseException:
                    connection.terminate()
                    raise
            self._connection = connection

    async def close(self) -> None:
        if self._connection is not None:
            with anyio.CancelScope(shield=True), suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connection.close(timeout=RELEASE_TIMEOUT_S)

    def _wake(self, *_: object) -> None:
        self._woken.set()
        self._woken = anyio.Event()
