"""Views built in ranges of the log side by side: the same rows, whatever is cut off; and nothing is left over."""

import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import anyio.to_process
import pytest
import pytest_asyncio

from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent, StoreUnavailable
from projections import event_counts, ranges, tables, timeline, tool_runs
from projections.errors import PoisonEvent
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from projections.ranges import in_ranges
from projections.rebuild import rebuild
from projections.verify import verify_view
from projections.view import View
from protocol.subjects import Address
from tests.kit.board_run import BEGIN, arbitrary_run, small_run
from tests.kit.views import append, rows

RANGED = [view for view in VIEWS if view.by_ranges]


@pytest_asyncio.fixture(loop_scope="session")
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    """A log of some tasks."""
    async with PostgresStore.open(database) as opened:
        await append(opened, [*small_run(), *arbitrary_run(11, 200)])
        yield opened


async def leftovers(store: PostgresStore) -> list[str]:
    """Checkpoints, ranges and schemas of builds that are not served."""
    found = await store.pool.fetch(
        "select name from views where name like '%.next%' union all select view from view_ranges "
        "union all select nspname from pg_namespace where nspname like 'troupe\\_%'"
    )
    return [row[0] for row in found]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def test_in_ranges_is_as_in_one_go(store: PostgresStore) -> None:
    await Projector(store, store.pool, VIEWS).catch_up()
    along = await rows(store)
    assert len(RANGED) >= 6
    for view in RANGED:
        assert await rebuild(store, store.pool, view, in_ranges(store, 3, events_min=1)) == await store.head()
        assert (await verify_view(store, store.pool, view)).differing == 0
    assert await rows(store) == along
    assert await leftovers(store) == []


async def test_a_raised_version_of_a_long_log_is_built_in_ranges(store: PostgresStore) -> None:
    served = Projector(store, store.pool, [event_counts.VIEW])
    await served.catch_up()
    newer = replace(event_counts.VIEW, version=event_counts.VIEW.version + 1)
    built: list[str] = []

    async def build(view: View, target: tables.Target) -> None:
        built.append(view.name)
        await in_ranges(store, 2, events_min=1)(view, target)

    await Projector(store, store.pool, [newer], build=build).catch_up()
    assert built == ["event_counts"]
    (row,) = await Queries(store, store.pool).views()
    assert (row.version, row.position) == (newer.version, await store.head())
    assert (await verify_view(store, store.pool, newer)).differing == 0


async def test_a_build_that_is_cut_off_while_it_is_put_together_goes_on(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_together = ranges.merge
    done: list[int] = []

    async def cut_off(pool: tables.Pool, view: View, each: ranges.Range) -> None:
        if len(done) == 1:
            raise ConnectionAbortedError
        done.append(each.number)
        await put_together(pool, view, each)

    view = tool_runs.VIEW
    with monkeypatch.context() as patch:
        patch.setattr(ranges, "merge", cut_off)
        with pytest.raises(ConnectionAbortedError):
            await rebuild(store, store.pool, view, in_ranges(store, 4, events_min=1))
    assert done == [2]
    assert await leftovers(store) != []
    # The other number of ranges does not matter: those that were begun are gone on with.
    await rebuild(store, store.pool, view, in_ranges(store, 2, events_min=1))
    assert (await verify_view(store, store.pool, view)).differing == 0
    assert await leftovers(store) == []


async def test_a_build_that_was_given_up_leaves_nothing(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that another program goes on with in one go."""

    async def cut_off(pool: tables.Pool, view: View, each: ranges.Range) -> None:
        raise ConnectionAbortedError

    monkeypatch.setattr(ranges, "merge", cut_off)
    view = timeline.VIEW
    for _ in range(2):
        with pytest.raises(ConnectionAbortedError):
            await rebuild(store, store.pool, view, in_ranges(store, 3, events_min=1))
    await rebuild(store, store.pool, view)
    assert (await verify_view(store, store.pool, view)).differing == 0
    assert await leftovers(store) == []


async def test_a_range_that_cannot_be_folded_names_the_event_and_leaves_what_is_served(store: PostgresStore) -> None:
    view = tool_runs.VIEW
    await Projector(store, store.pool, [view]).catch_up()
    at = await Queries(store, store.pool).views()
    poison = NewEvent("tools.called.v1", b'{"type":"tools.called.v1"}', BEGIN, "t1", "c1")
    position = await store.append(Address("demo", "tools", "t9"), [poison])
    with pytest.raises(PoisonEvent, match=f"position {position} ") as caught:
        await rebuild(store, store.pool, view, in_ranges(store, 3, events_min=1))
    assert (caught.value.position, caught.value.type) == (position, "tools.called.v1")
    assert [row for row in await Queries(store, store.pool).views() if ".next" not in row.name] == at


async def test_a_killed_process_is_tried_again(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had folded is kept by its checkpoint."""
    view, run_sync = timeline.VIEW, anyio.to_process.run_sync

    async def killed(_: object, *args: object, **options: Any) -> Any:
        return await run_sync(die, **options)

    with monkeypatch.context() as patch:
        patch.setattr(anyio.to_process, "run_sync", killed)
        with pytest.raises(StoreUnavailable, match="the process that folded range"):
            await rebuild(store, store.pool, view, in_ranges(store, 2, events_min=1))
    await rebuild(store, store.pool, view, in_ranges(store, 2, events_min=1))
    assert (await verify_view(store, store.pool, view)).differing == 0
