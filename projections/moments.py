"""Where in the log a correlation's events are, by the timeline: one index range instead of a look at every event."""

import asyncpg

from eventstore.store import StoreError
from projections.statement import sql
from projections.tables import Pool, transaction
from projections.timeline import VIEW

SNAPSHOT = "begin isolation level repeatable read, read only"


async def moments(pool: Pool, project: str, correlation: str, limit: int) -> tuple[int, list[int]]:
    """Up to which position the timeline is folded, and the positions of the correlation's events up to there, in order,
    at most `limit`. (0, []) where this version's timeline was never built. StoreUnavailable."""
    doing = "read the timeline"
    try:
        async with transaction(pool, doing, SNAPSHOT) as connection:
            folded = await connection.fetchval(sql("view_position"), VIEW.name, VIEW.version)
            if folded is None:
                return 0, []
            rows = await connection.fetch(sql("timeline_positions"), project, correlation, limit)
            return folded, [row["position"] for row in rows]
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        return 0, []
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreError(f"{doing}: {type(error).__name__}: {error}") from error
