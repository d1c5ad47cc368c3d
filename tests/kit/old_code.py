"""What the code of the first three migrations did with a log, in its own statements (tests/integration/old_code)."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from eventstore.postgres.batch import arguments
from eventstore.store import Batch, NewEvent
from protocol.subjects import Address

STATEMENTS = Path(__file__).parents[1] / "integration" / "old_code"
OLD_MIGRATIONS = ("0001_log.sql", "0002_commit.sql", "0003_append.sql")
# Its settings: plans are made once and must do for ever.
SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "search_path": "troupe, public"}

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@cache
def statement(name: str) -> str:
    return (STATEMENTS / f"{name}.sql").read_text("utf-8")


class OldCode:
    """A process that still runs yesterday's version."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def rows(self, name: str, *args: Any) -> list[asyncpg.Record]:
        return await self.session.fetch(statement(name), *args)

    async def value(self, name: str, *args: Any) -> Any:
        return await self.session.fetchval(statement(name), *args)

    async def commit(self, batch: Batch, known_digest: bool) -> list[str]:
        """Statuses. With `known_digest` it sends 32 bytes, as it did; a newer schema makes its own of them."""
        args = arguments(batch)
        args[-1] = hashlib.sha256(b"a digest of another format").digest() if known_digest else None
        return [row["status"] for row in await self.rows("commit", *args)]

    async def append(self, address: Address, events: Sequence[NewEvent], expected: int | None = None) -> int:
        columns = list(zip(*((e.type, e.at, e.correlation, e.causation, e.body) for e in events), strict=True))
        return await self.value("append", address.project, address.kind, address.name, expected, *columns)

    async def read(self, after: int = 0) -> list[tuple[int, str, int, str, bytes]]:
        rows = await self.rows("read", after, 1_000, None, None, None, None, None, None)
        return [(row["position"], row["name"], row["version"], row["tag"], row["body"]) for row in rows]
