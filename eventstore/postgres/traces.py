"""Traces that were given, in PostgreSQL: keeps the promises of `eventstore/traces.py`."""

from collections.abc import Collection

from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements


class PostgresTraces:
    """Traces on one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def given(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        if not keys:
            return {}
        projects, names = zip(*keys, strict=True)
        rows = await self._run.rows("given_traces", list(projects), list(names))
        return {(row["project"], row["key"]): row["trace"] for row in rows}
