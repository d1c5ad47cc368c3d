"""A process that dies at a given await: a log and a pool of connections that count what is awaited of them.

From the chosen await on everything fails, and the connection it happened on is cut, as the kernel does for a process
that was killed: what was not committed is gone, and nobody hears whether the last word reached the server.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from eventstore.store import Log, Recorded, Selection
from projections.tables import Connection, Pool


class Killed(BaseException):
    """The process is gone. No handler of the program's own sees it."""


class Life:
    """Ends at the await number `ends_at` (from 1), before what is awaited happens, or `after` it."""

    def __init__(self, ends_at: int, after: bool) -> None:
        self._ends_at, self._after = ends_at, after
        self.awaits = 0

    @property
    def over(self) -> bool:
        return self.awaits >= self._ends_at

    async def spend(self, work: Callable[[], Any], cut: Callable[[], None] = lambda: None) -> Any:
        if self.over:
            raise Killed
        self.awaits += 1
        if not self.over:
            return await work()
        if self._after:
            await work()
        cut()
        raise Killed


class MortalLog:
    """What a projector asks of the log."""

    def __init__(self, log: Log, life: Life) -> None:
        self._log, self._life = log, life

    async def head(self) -> int:
        return cast(int, await self._life.spend(self._log.head))

    async def read(
        self,
        after: int,
        limit: int = 500,
        upto: int | None = None,
        selection: Selection | None = None,
        backward: bool = False,
    ) -> list[Recorded]:
        work = self._life.spend(lambda: self._log.read(after, limit, upto, selection, backward))
        return cast(list[Recorded], await work)


class _MortalConnection:
    def __init__(self, connection: Connection, life: Life) -> None:
        self._connection, self._life = connection, life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)
        if name not in ("execute", "fetch", "fetchrow", "fetchval", "executemany"):
            return method

        async def counted(*args: Any, **options: Any) -> Any:
            return await self._life.spend(lambda: method(*args, **options), self._connection.terminate)

        return counted


class MortalPool:
    """The part of a pool that views use."""

    def __init__(self, pool: Pool, life: Life) -> None:
        self._pool, self._life = pool, life

    @asynccontextmanager
    async def acquire(self, timeout: float | None = None) -> AsyncGenerator[_MortalConnection]:
        async with self._pool.acquire(timeout=timeout) as connection:
            yield _MortalConnection(connection, self._life)


def mortal(log: Log, pool: Pool, life: Life) -> tuple[Log, Pool]:
    """Both, for a process with that life."""
    return cast(Log, MortalLog(log, life)), cast(Pool, MortalPool(pool, life))
