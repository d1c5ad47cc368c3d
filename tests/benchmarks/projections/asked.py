"""Reads of every listing over a company's whole log: newest first, by each filter, only what failed, and deep inside.

Each is asked as the company is asked (projections/asking.py): the position and a page of 50 rows in one snapshot, one
question at a time. The filters' values and the cursors are those of rows from all depths of the listing, in turn, so
that no question is asked twice in a row. `over NATS` is the same through the micro service of one process.
"""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import cycle
from time import perf_counter
from typing import Any, cast

import asyncpg
import msgspec
import nats
from prometheus_client import CollectorRegistry

from actors.edge.queries.service import queries_served
from eventstore.postgres.store import PostgresStore
from projections import task_board
from projections.asking import Asking, rows_of
from projections.listing import Listing
from projections.listings import LISTINGS
from projections.selecting import cursor, select
from protocol.query import Answer, Query
from protocol.subjects import query_subject
from tests.benchmarks.projections.mix import PROJECT
from tests.benchmarks.report import percentile
from tests.benchmarks.runtime.company import Place

DEPTHS = 20  # Rows of each listing that filters and cursors are made of.
SEED = 6
ROOT = "bench"  # Of the subjects.


@dataclass(frozen=True)
class Lane:
    """Questions of one sort, in turn; `name` says of which."""

    name: str
    listing: Listing
    queries: Sequence[Query]


async def lanes(store: PostgresStore) -> list[Lane]:
    """Every listing has rows, or RuntimeError."""
    found: list[Lane] = []
    connection: Any = await asyncpg.connect(store.dsn, server_settings={"search_path": store.schema})
    try:
        for listing in LISTINGS.values():
            rows = await _sampled(connection, listing)
            found.append(Lane(f"{listing.name} newest", listing, [Query(PROJECT)]))
            for name in listing.filters:
                wheres = [where for row in rows if (where := _where(listing, name, row)) is not None]
                if wheres:
                    found.append(Lane(f"{listing.name} by {name}", listing, [Query(PROJECT, where=w) for w in wheres]))
            if listing.failed:
                found.append(Lane(f"{listing.name} failed", listing, [Query(PROJECT, failed=True)]))
            deep = [Query(PROJECT, after=cursor(listing, row)) for row in rows]
            found.append(Lane(f"{listing.name} deep", listing, deep))
    finally:
        await connection.close()
    return found


async def _sampled(connection: Any, listing: Listing) -> Sequence[Any]:
    """Rows from all depths of the listing, in no order."""
    count = await connection.fetchval(f"select count(*) from {listing.table.name} where project = $1", PROJECT)
    if not count:
        raise RuntimeError(f"{listing.name} has no rows: the mix has no events for it")
    chance = random.Random(f"{SEED} {listing.name}")
    statement, arguments = select(listing, Query(PROJECT, limit=1))
    records = [await connection.fetchrow(f"{statement} offset {chance.randrange(count)}", *arguments)
               for _ in range(DEPTHS)]  # fmt: skip
    return rows_of(listing, records)


def _where(listing: Listing, name: str, row: Any) -> dict[str, str] | None:
    """The filter by that column, with those it needs, that finds the row; None where the row has no value there."""
    values = {each: getattr(row, each) for each in (*listing.needs(name), name)}
    if any(value is None or value == () for value in values.values()):
        return None
    return {each: _said(value) for each, value in values.items()}


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return str(cast(tuple[str, ...], value)[0])
    return value.isoformat() if isinstance(value, date) else str(value)


async def timed(asking: Asking, lane: Lane, calls: int) -> list[float]:
    """How long each of so many calls took, in milliseconds."""
    queries = cycle(lane.queries)
    return await _timed(lambda: asking.ask(lane.listing, next(queries)), calls)


async def _timed(once: Callable[[], Awaitable[Any]], calls: int) -> list[float]:
    took: list[float] = []
    for _ in range(calls):
        started = perf_counter()
        await once()
        took.append(1e3 * (perf_counter() - started))
    return took


class Asked:
    """What the rounds came to."""

    def __init__(self) -> None:
        self.worst: list[tuple[float, str]] = []

    async def round(self, asking: Asking, lanes: Sequence[Lane], calls: int) -> dict[str, float]:
        """Every lane once: percentiles over all calls, and the worst lane's; of each listing its worst lane's."""
        every, p99s = list[float](), dict[str, float]()
        for lane in lanes:
            took = await timed(asking, lane, calls)
            every += took
            p99s[lane.name] = percentile(took, 0.99)
        worst = max(p99s, key=lambda name: p99s[name])
        self.worst.append((p99s[worst], worst))
        found = {
            "query_p50_ms": percentile(every, 0.50),
            "query_all_p99_ms": percentile(every, 0.99),
            "query_p99_ms": p99s[worst],
        }
        for name in LISTINGS:
            found[f"query_{name}_p99_ms"] = max(p99s[lane.name] for lane in lanes if lane.listing.name == name)
        return found


@asynccontextmanager
async def over_nats(place: Place, asking: Asking) -> AsyncGenerator[Callable[[int], Awaitable[dict[str, float]]]]:
    """What asks the task board through the micro service, newest first, and gives its percentiles."""
    async with queries_served(
        place.nats_url, place.nats_token, ROOT, asking, CollectorRegistry(), datetime.now(UTC)
    ):  # fmt: skip
        client = await nats.connect(place.nats_url, token=place.nats_token)
        subject, body = query_subject(task_board.VIEW.name, ROOT), msgspec.json.encode(Query(PROJECT))

        async def once() -> None:
            answer = await client.request(subject, body, timeout=30)
            assert msgspec.json.decode(answer.data, type=Answer).rows, answer.headers

        async def ask(calls: int) -> dict[str, float]:
            took = await _timed(once, calls)
            return {"query_over_nats_p50_ms": percentile(took, 0.50), "query_over_nats_p99_ms": percentile(took, 0.99)}

        try:
            yield ask
        finally:
            await client.close()
