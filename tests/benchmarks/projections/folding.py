"""A view folded by Troupe's projector beside the same view folded with a transaction an event, ours and a peer's."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count
from time import perf_counter
from typing import Any

import asyncpg

from eventstore.postgres.store import PostgresStore
from projections import event_counts, task_board, usage
from projections.projector import Projector
from projections.view import View
from tests.benchmarks.projections.again import again
from tests.benchmarks.projections.plain import PlainProjector
from tests.benchmarks.projections.sourced import Sourced
from tests.benchmarks.runtime.rounds import Lane
from tests.benchmarks.store.server import SLOW_DISK

PAGE_EVENTS = 2_000
FOLDED = (event_counts.VIEW, usage.VIEW, task_board.VIEW)
PEER_EVENTS_A_SECOND = 5_000  # More than it folds: so that it does not come to its end.


@asynccontextmanager
async def side_by_side(store: PostgresStore, events: int, seconds: float) -> AsyncGenerator[Sequence[Lane]]:
    """The lanes, over a log of that many events. `seconds`: how long a lane runs that takes a transaction an event."""
    async with AsyncExitStack() as stack:
        peer = Sourced(store.dsn)
        await peer.fill(round(seconds * PEER_EVENTS_A_SECOND))
        durable, not_durable = PlainProjector(store, store.dsn, "on"), PlainProjector(store, store.dsn, "off")
        for plain in (durable, not_durable):
            await plain.open()
            stack.push_async_callback(plain.close)
        counts, *others = [_folded(store, view, events) for view in FOLDED]
        tx_per_event = _rate("tx_per_event", durable.fold, seconds)
        yield [
            counts,
            *others,
            tx_per_event,
            _rate("tx_per_event_not_durable", not_durable.fold, seconds),
            _rate("eventsourcing_projection", peer.fold, seconds),
            _on_slow_disk(store.dsn, [counts, tx_per_event]),
        ]


def _on_slow_disk(dsn: str, lanes: Sequence[Lane]) -> Lane:
    """Those lanes while every commit that must reach the disk waits 2 ms more, as on an ordinary disk."""

    async def run() -> dict[str, float]:
        connection: Any = await asyncpg.connect(dsn)
        found: dict[str, float] = {}
        try:
            for name, value in SLOW_DISK.items():
                await connection.execute(f"alter system set {name} = {value}")
            await connection.execute("select pg_reload_conf()")
            for lane in lanes:
                found |= await lane()
        finally:
            for name in SLOW_DISK:
                await connection.execute(f"alter system reset {name}")
            await connection.execute("select pg_reload_conf()")
            await connection.close()
        return {f"{name.removesuffix('_per_s')}_slow_disk_per_s": value for name, value in found.items()}

    return run


def _folded(store: PostgresStore, view: View, events: int) -> Lane:
    """The whole log, into tables of its own each time: a version that is raised is built beside and swapped in."""
    versions = count(view.version)

    async def run() -> dict[str, float]:
        projector = Projector(store, store.pool, [replace(view, version=next(versions))], page_events=PAGE_EVENTS)
        started = perf_counter()
        reached = await again(projector.catch_up)
        took = perf_counter() - started
        assert reached == events, f"{reached} of {events} events were folded"
        return {f"folded_{view.name}_per_s": events / took}

    return run


def _rate(name: str, fold: Callable[[float], Awaitable[tuple[int, float]]], seconds: float) -> Lane:
    async def run() -> dict[str, float]:
        folded, took = await fold(seconds)
        return {f"{name}_per_s": folded / took}

    return run
