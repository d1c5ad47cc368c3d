"""Model performance, tool runs, memory statistics and dead letters on a real PostgreSQL."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent, Parking, Settled, Unit, Waiting
from projections import dead_letters, memory_stats, model_performance, tool_runs, usage
from projections.dead_letters import LETTERS, Letter
from projections.fold import folded
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from projections.statement import sql
from projections.storing import columns_of, made, select_sql
from projections.table import Row, Table
from projections.view import View
from protocol.codec import encode
from protocol.memory import SUBJECT_LENGTH_MAX, Recalled
from protocol.message import tag_of
from protocol.runtime import CommandQuarantined
from protocol.subjects import Address, partition_of
from protocol.tools import ToolCalled
from tests.kit.board_run import BEGIN, Happened, arbitrary_run, small_run
from tests.kit.folds import happened
from tests.kit.units import Owner, statuses

FIGURES = (usage.VIEW, model_performance.VIEW, tool_runs.VIEW, memory_stats.VIEW, dead_letters.VIEW)
BROKEN = Address("demo", "tester", "t1")
KEEPER = Address("demo", "runtime", str(partition_of(BROKEN)))


@pytest_asyncio.fixture(loop_scope="session")
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


async def append(store: PostgresStore, run: list[Happened]) -> None:
    for each in run:
        await store.append(each.address, [each.new()])


async def caught_up(store: PostgresStore) -> Queries:
    await Projector(store, store.pool, VIEWS, page_events=50).catch_up()
    return Queries(store, store.pool)


async def rows_of(store: PostgresStore, table: Table[Any]) -> list[Row]:
    return [made(table, columns_of(table), row) for row in await store.pool.fetch(select_sql(store.schema, table))]


async def of_log(store: PostgresStore, view: View) -> dict[Table[Any], dict[tuple[Any, ...], Row]]:
    """The view folded in memory."""
    return folded(view, await store.read(0))


async def told(store: PostgresStore, table: str, columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await store.pool.fetch(f"select {columns} from {table} order by 1, 2")]


async def test_the_tables_hold_what_a_fold_in_memory_gives(store: PostgresStore) -> None:
    await append(store, [*small_run(), *small_run(project="other"), *arbitrary_run(5, 120)])
    await caught_up(store)
    for view in FIGURES:
        for table, rows in (await of_log(store, view)).items():
            stored = {table.key_of(row): row for row in await rows_of(store, table)}
            assert stored == rows, table.name
            assert stored


async def test_rates_and_averages_of_the_tables(store: PostgresStore) -> None:
    await append(store, small_run())
    await caught_up(store)
    models = "model, success_rate, latency_s, latency_max_s, asked_tools_rate, delivered_rate"
    assert await told(store, "model_performance", models) == [
        ("", 0.0, None, None, None, None), ("small-1", 1.0, pytest.approx(11.5 / 3), 9.0, 0.0, 0.0),
    ]  # fmt: skip
    assert await told(store, "tool_totals", "tool, running, seconds, seconds_max") == [
        ("architecture.map", 0, 0.75, 0.75), ("lint.fix", 0, 1.75, 1.75), ("tests.run", 0, 1.25, 1.25),
        ("workspace.prepare", 0, 0.25, 0.25),
    ]  # fmt: skip
    assert await told(store, "memory_stats", "role, hit_rate") == [("tester", 1.0)]
    await append(store, [happened("tools", ToolCalled("tester", "r", "tests.run", "x"), second=99)])
    await append(store, [happened("memory", Recalled("/srv/repo", "tester", "t1"), "main", 99)])
    await caught_up(store)
    assert (await told(store, "tool_totals", "tool, running"))[2] == ("tests.run", 1)
    assert await told(store, "memory_subjects", "role, hit_rate, recalls") == [("tester", 0.5, 2)]


async def test_each_model_with_what_came_of_it(store: PostgresStore) -> None:
    day = timedelta(days=1)
    tomorrow = [Happened(h.address, h.event, h.correlation, h.second + 86_400) for h in small_run(task="t2")]
    await append(store, [*small_run(), *tomorrow, *small_run(project="other")])
    queries = await caught_up(store)
    unknown, small = await queries.models("demo")
    assert (unknown.provider, unknown.failures, unknown.success_rate, unknown.latency_s) == ("", 2, 0.0, None)
    assert (small.provider, small.model, small.completions, small.success_rate) == ("openai", "small-1", 6, 1.0)
    assert (small.tokens_in, small.priced, small.cost_micros) == (2300, 4, 6 * 1050)
    assert small.latency_s == pytest.approx(23 / 6)
    assert (small.latency_max_s, small.measured, small.asked_tools_rate) == (9.0, 6, 0.0)
    assert (small.deliveries, small.delivered, small.delivered_rate) == (2, 0, 0.0)
    since = await queries.models("demo", since=(BEGIN + day).date())
    assert [(row.model, row.completions) for row in since] == [("", 0), ("small-1", 3)]
    assert [row.completions for row in await queries.models("demo", until=BEGIN.date())] == [0, 3]
    assert await queries.models("nobody") == []


async def test_the_longest_subject_fits(store: PostgresStore) -> None:
    subject = "".join(chr(0x4E00 + n % 20_000) for n in range(SUBJECT_LENGTH_MAX))
    await append(store, [happened("memory", Recalled(subject, "tester", "t1"), "main")])
    await caught_up(store)
    assert await told(store, "memory_subjects", "role, subject") == [("tester", subject)]


async def break_it(store: PostgresStore, id_: str) -> None:
    """As the runtime does: the command's quarantine, its actor parked."""
    owner = await Owner.of(store, partition_of(BROKEN))
    event = CommandQuarantined("tester", "t1", id_, "role.assign.v1", f"{id_} broke it", b"{}")
    row = Settled(id_, "role.assign.v1", "quarantined", "it broke", body=b"{}")
    waits = (Waiting(BROKEN, id_, "role.assign.v1", b"{}", b"{}", BEGIN, "t1", None, ""),)
    fact = NewEvent(tag_of(event), encode(event), BEGIN, "t1", id_)
    parks = (Parking(BROKEN, event.error),)
    unit = Unit(partition_of(BROKEN), KEEPER, None, (row,), (fact,), parks=parks, waits=waits)
    assert statuses(await owner.commit(unit)) == ["committed"]


async def test_dead_letters_say_what_the_store_says(store: PostgresStore) -> None:
    async def compared() -> list[Letter]:
        """The view's rows, which agree with what `troupe dead list` shows, and with --all."""
        await caught_up(store)
        rows = [row for row in await rows_of(store, LETTERS) if isinstance(row, Letter)]
        parked = {(p.address.kind, p.address.name, p.killer, p.reason) for p in await store.dead.parked("demo")}
        assert {(row.kind, row.name, row.id, row.error) for row in rows if row.state == "parked"} == parked
        letters = await store.dead.letters("demo")
        last = {letter.id: letter for letter in reversed(letters)}
        assert {
            row.id: (row.quarantined_position, row.quarantined_at, row.error, row.command_type) for row in rows
        } == {letter.id: (letter.position, letter.at, letter.error, letter.type) for letter in last.values()}
        assert sum(row.times for row in rows) == len(letters)
        return rows

    await break_it(store, "c1")
    (row,) = await compared()
    assert (row.state, row.times) == ("parked", 1)
    assert await store.dead.retry(BROKEN, by="p1") is not None
    (row,) = await compared()
    assert (row.state, row.by, row.released_at is not None) == ("retried", "p1", True)
    await break_it(store, "c2")
    assert await store.dead.drop(BROKEN, late=True) is not None
    assert [(row.id, row.state, row.late) for row in await compared()] == [
        ("c1", "retried", False), ("c2", "dropped", True),
    ]  # fmt: skip


def test_every_view_has_its_schema_file() -> None:
    for view in FIGURES:
        schema = sql(view.schema)
        assert all(f"create table {table.name} (" in schema for table in view.tables)
