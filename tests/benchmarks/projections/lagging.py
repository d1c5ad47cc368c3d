"""How far the views are behind a log that grows steadily: all views, folded in this process, written in another.

A commit's lag in a view is the time from its acknowledgement to the first look at the checkpoints that finds the view
at its last position or beyond. The looks come from this process too and are stamped when they are answered, so that
what is measured is never less than what is.
"""

from bisect import bisect_left
from collections.abc import Mapping
from time import monotonic, process_time
from typing import Any

import anyio
import asyncpg

from eventstore.postgres.store import PostgresStore
from projections.projector import Projector
from projections.queries import VIEWS
from projections.ranges import in_ranges
from projections.statement import sql
from tests.benchmarks.projections.writer import Order, Written
from tests.benchmarks.report import percentile
from tests.benchmarks.runtime.children import Child, child

LOOK_EVERY_S = 0.005
WARM_S = 1.0  # Of the writing: plans, pools and caches, as any running company has them.
CAUGHT_UP_S_MAX = 60.0

Looks = list[tuple[float, Mapping[str, int]]]  # When, and where every view stood.


async def lag(store: PostgresStore, first_block: int, per_s: float, seconds: float) -> dict[str, float]:
    """The views of `store` are folded. The history from `first_block` on is written for so long."""
    projector = Projector(store, store.pool, VIEWS, build=in_ranges(store))
    await projector.catch_up()
    order = Order(store.dsn, store.schema, first_block, per_s, WARM_S + seconds)
    found: dict[str, float] = {}
    async with child("tests.benchmarks.projections.writer", order) as writer:
        await writer.hear()
        async with anyio.create_task_group() as group:
            group.start_soon(projector.run)
            cpu, began = process_time(), monotonic()
            written, looks = await _watched(store, writer)
            found = _found(written, looks)
            found["lag_projector_cpu_percent"] = 100 * (process_time() - cpu) / (monotonic() - began)
            group.cancel_scope.cancel()
    if projector.failures:
        raise RuntimeError(f"views had to stop: {projector.failures}")
    return found


async def _watched(store: PostgresStore, writer: Child) -> tuple[Written, Looks]:
    """What was written, and where the views stood from the beginning until all of them had it."""
    connection: Any = await asyncpg.connect(store.dsn, server_settings={"search_path": store.schema})
    list_views = await connection.prepare(sql("list_views"))
    looks: Looks = []
    answers: list[Written] = []
    stalled = anyio.CancelScope()

    async def write() -> None:
        answers.append(await writer.ask("go", Written))
        stalled.deadline = anyio.current_time() + CAUGHT_UP_S_MAX

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(write)
            with stalled:
                while not answers or not _reached(looks, answers[0].commits[-1][1]):
                    rows = await list_views.fetch()
                    looks.append((monotonic(), {row["name"]: row["position"] for row in rows}))
                    await anyio.sleep(LOOK_EVERY_S)
    finally:
        await connection.close()
    if stalled.cancelled_caught:
        raise TimeoutError(f"{CAUGHT_UP_S_MAX:g} s after the last event not every view has it: {looks[-1][1]}")
    return answers[0], looks


def _reached(looks: Looks, position: int) -> bool:
    return bool(looks) and all(looks[-1][1][view.name] >= position for view in VIEWS)


def _found(written: Written, looks: Looks) -> dict[str, float]:
    """Lags over all views and commits, and of each view alone."""
    began = written.commits[0][0]
    commits = [(at, position) for at, position in written.commits if at >= began + WARM_S]
    lags: dict[str, list[float]] = {}
    for view in VIEWS:
        positions = [standing[view.name] for _, standing in looks]
        lags[view.name] = [
            max(0.0, 1e3 * (looks[bisect_left(positions, position)][0] - at)) for at, position in commits
        ]
    together = [each for some in lags.values() for each in some]
    found = {
        "lag_p50_ms": percentile(together, 0.50),
        "lag_p99_ms": percentile(together, 0.99),
        "lag_max_ms": max(together),
        "lag_written_per_s": written.events / written.seconds,
    }
    return found | {f"lag_{name}_p99_ms": percentile(some, 0.99) for name, some in lags.items()}
