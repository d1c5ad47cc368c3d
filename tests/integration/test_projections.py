"""The views on a real PostgreSQL: whatever happens on the way, the rows are those of a fold from the beginning."""

import random
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta

import anyio
import asyncpg
import pytest
import pytest_asyncio

from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent, Recorded
from projections import agent_board, event_counts, statement, tables, task_board, usage
from projections.errors import NewerView, PoisonEvent, ViewAhead, ViewBehind, ViewMissing
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.subjects import Address
from tests.kit.board_run import BEGIN, arbitrary_run, small_run
from tests.kit.views import NEWER, SIGNAL_S, Gate, append, at_version, rebuilt, rows, running, standing

BOARD = task_board.VIEW
FOUR = (agent_board.VIEW, event_counts.VIEW, BOARD, usage.VIEW)


@pytest_asyncio.fixture(loop_scope="session")
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


async def test_a_whole_run_on_the_boards(store: PostgresStore) -> None:
    head = await append(store, small_run())
    await append(store, small_run(project="other", task="t1")[:2])  # Behind the wall, under the same name.
    await Projector(store, store.pool, VIEWS).catch_up()
    queries = Queries(store, store.pool)

    (task,) = await queries.tasks("demo")
    assert (task.task, task.title, task.repo) == ("t1", "review\ufffd this", "/srv/repo")
    assert (task.status, task.verdict, task.summary) == ("completed", "hold", "two roles failed")
    assert (task.roles_total, task.roles_done, task.events, task.position) == (4, 4, head, head)
    assert task.quarantined == 1
    assert task.started_at == BEGIN + timedelta(seconds=1)

    detail = await queries.task("demo", "t1")
    assert detail is not None
    orchestrator, architect, tester, presenter = detail.roles
    assert [row.role for row in detail.roles] == ["orchestrator", "architect", "tester", "presenter"]
    assert [row.status for row in detail.roles] == ["completed", "completed", "failed", "failed"]
    assert [row.activity for row in detail.roles] == ["", "", "", ""]
    assert [row.tool_calls for row in detail.roles] == [1, 1, 2, 0]
    assert [row.artifacts for row in detail.roles] == [1, 2, 0, 1]
    assert (tester.tools_failed, tester.tools_could_not_run, tester.errors) == (1, 1, 2)
    assert tester.needs == ("architect",)
    assert architect.seconds == 7.0  # seven events after its assignment, one a second
    assert orchestrator.summary == "two roles failed"
    assert presenter.summary == "no delivery in time"  # what came after that changes nothing
    assert [(row.role, row.path) for row in detail.artifacts] == [
        ("orchestrator", "report.md"), ("architect", "report.md"), ("architect", "modules.mmd"),
        ("presenter", "modules.mmd"),
    ]  # fmt: skip
    assert sum(detail.event_counts.values()) == head
    assert detail.event_counts == await queries.event_counts("demo", "t1")
    assert detail.event_counts["tools.called.v1"] == 4
    assert await queries.task("demo", "t9") is None
    (stranger,) = await queries.tasks("other")
    assert (stranger.events, stranger.status) == (2, "active")


async def test_agents_and_health_of_a_run_half_way(store: PostgresStore) -> None:
    run = small_run()
    half = next(n for n, happened in enumerate(run) if happened.address.kind == "tester" and n > 0) + 4
    head = await append(store, run[:half])
    await Projector(store, store.pool, VIEWS).catch_up()
    queries = Queries(store, store.pool)

    agents = {row.agent: row for row in await queries.agents("demo")}
    architect, tester, orchestrator = agents["architect-1"], agents["tester-1"], agents["orchestrator-1"]
    assert (architect.in_flight, architect.done, architect.success_rate, architect.status) == (0, 1, 1.0, "idle")
    assert (tester.in_flight, tester.load, tester.success_rate, tester.status) == (1, 0.5, None, "working")
    assert (tester.tool_calls, tester.last_seen_position, tester.capabilities) == (1, head, ("python",))
    assert (orchestrator.in_flight, orchestrator.load, orchestrator.tool_calls) == (1, 0.25, 1)

    health = await queries.health("demo", "t1", BEGIN + timedelta(seconds=100))
    assert health is not None
    assert {row.role: row.status for row in health.roles} == {
        "orchestrator": "working", "architect": "completed", "tester": "working", "presenter": "waiting",
    }  # fmt: skip
    assert {row.role: row.seconds for row in health.roles}["orchestrator"] == 99.0
    assert {row.role: row.seconds for row in health.roles}["presenter"] == 0.0
    assert (health.elapsed_s, health.events, health.tool_runs) == (100.0, head, 2)
    assert (health.head_position, health.view_position) == (head, head)
    assert await queries.health("demo", "t9", BEGIN) is None


async def test_the_activity_says_what_a_role_does_now(store: PostgresStore) -> None:
    keeper, queries = Projector(store, store.pool, VIEWS), Queries(store, store.pool)
    seen: list[tuple[str, str]] = []
    for happened in small_run():
        await append(store, [happened])
        await keeper.catch_up()
        detail = await queries.task("demo", "t1")
        for row in detail.roles if detail else ():
            if row.role == "architect" and (row.status, row.activity) not in seen:
                seen.append((row.status, row.activity))
    assert seen == [
        ("waiting", ""), ("requested", "waiting for an agent"), ("requested", "being assigned"),
        ("working", "recalling"), ("working", "thinking"), ("working", "architecture.map"),
        ("working", "waiting for tools"), ("completed", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
async def test_folded_along_equals_folded_from_the_beginning(store: PostgresStore, seed: int) -> None:
    chance, run = random.Random(seed), arbitrary_run(seed, 150)
    while run:
        size = chance.randint(1, 40)
        await append(store, run[:size])
        run = run[size:]
        await Projector(store, store.pool, VIEWS, page_events=chance.randint(1, 20)).catch_up()
    along = await rows(store)
    assert along["tasks"]
    assert along["agents"]
    assert await rebuilt(store) == along


async def test_two_projectors_at_once_fold_each_event_once(store: PostgresStore) -> None:
    """Also the making of the tables: both begin on an empty schema."""
    queries = Queries(store, store.pool)
    first, second = (Projector(store, store.pool, VIEWS, page_events=3) for _ in range(2))
    async with running(first, second):
        head = await append(store, [*small_run(), *arbitrary_run(7, 60)])
        await queries.at_least(head, timeout_s=SIGNAL_S)
    assert (first.failures, second.failures) == ({}, {})
    along = await rows(store)
    assert await rebuilt(store) == along


async def test_a_projector_cancelled_inside_a_transaction_leaves_nothing_half_done(store: PostgresStore) -> None:
    await append(store, small_run())
    await Projector(store, store.pool, VIEWS).catch_up()
    before = await standing(store)
    await append(store, small_run(task="t2"))
    # The checkpoint has moved inside the transaction and the rows wait behind this lock, when the cancellation comes.
    async with store.pool.acquire() as blocker, blocker.transaction():
        await blocker.execute("lock table task_roles in exclusive mode")
        async with running(Projector(store, store.pool, [BOARD])):
            await until_blocked(store)
    assert await standing(store) == before
    assert [row.task for row in await Queries(store, store.pool).tasks("demo")] == ["t1"]
    await Projector(store, store.pool, VIEWS).catch_up()
    along = await rows(store)
    assert await rebuilt(store) == along


async def until_blocked(store: PostgresStore) -> None:
    """Until somebody in this database waits for a table's lock."""
    with anyio.fail_after(SIGNAL_S):
        while not await store.pool.fetchval(
            "select exists (select 1 from pg_locks l join pg_database d on d.oid = l.database "
            "where d.datname = current_database() and l.locktype = 'relation' and not l.granted)"
        ):
            await anyio.sleep(0.01)


async def test_connections_lost_on_the_way_are_waited_for(database: str, store: PostgresStore) -> None:
    keeper = Projector(store, store.pool, VIEWS, page_events=5)
    async with running(keeper):
        head = await append(store, small_run())
        await Queries(store, store.pool).at_least(head, timeout_s=SIGNAL_S)
        await kill_all_connections(database)
        async with PostgresStore.open(database) as other:
            head = await append(other, small_run(task="t2"))
            await Queries(other, other.pool).at_least(head, timeout_s=SIGNAL_S)
            assert keeper.failures == {}
            along = await rows(other)
            assert await rebuilt(other) == along


async def kill_all_connections(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


POISON = {
    "does not decode": NewEvent("task.submitted.v1", b'{"type":"task.submitted.v1"}', BEGIN, "t2", "c"),
    "does not fit": NewEvent(
        "role.delivered.v1",
        b'{"type":"role.delivered.v1","outcome":"completed","summary":"","files":'
        b'[{"path":"a","media_type":"b","blob":"c","size_bytes":9223372036854775808}]}',
        BEGIN,
        "t2",
        "c",
    ),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
async def test_an_event_that_cannot_be_folded_stops_its_view_right_before_it(
    store: PostgresStore, poison: NewEvent
) -> None:
    await append(store, small_run())
    position = await store.append(Address("demo", "presenter", "t1"), [poison])
    (recorded,) = await store.read(position - 1, 1)
    head = await append(store, small_run(task="t3"))
    keeper, queries = Projector(store, store.pool, FOUR), Queries(store, store.pool)
    async with running(keeper):
        await queries.at_least(head, [agent_board.VIEW, event_counts.VIEW, usage.VIEW], timeout_s=SIGNAL_S)
        with anyio.fail_after(SIGNAL_S):
            while "task_board" not in keeper.failures:
                await anyio.sleep(0.01)
    failure = keeper.failures["task_board"]
    assert isinstance(failure, PoisonEvent)
    assert (failure.position, failure.reference, failure.type) == (position, recorded.reference, poison.type)
    assert f"position {position} ({recorded.reference}, {poison.type})" in str(failure)
    assert {row.name: row.position for row in await queries.views()} == {
        "agent_board": head,
        "event_counts": head,
        "task_board": position - 1,
        "usage": head,
    }
    assert [row.task for row in await queries.tasks("demo")] == ["t1"]
    with pytest.raises(ViewBehind, match=f"task_board at {position - 1}"):
        await queries.at_least(head, FOUR, timeout_s=0.05)


async def test_a_new_version_is_built_beside_the_old_one_which_stays_readable(store: PostgresStore) -> None:
    head = await append(store, small_run())
    await Projector(store, store.pool, FOUR).catch_up()
    queries, gate = Queries(store, store.pool), Gate(store, pages=2)
    before = await rows(store, FOUR)
    served = {(view.name, view.version, head) for view in FOUR}
    newer = [at_version(BOARD, NEWER)]
    async with running(Projector(gate, store.pool, newer, page_events=5)):
        await gate.reached.wait()
        assert await rows(store, FOUR) == before
        standing = {(row.name, row.version, row.position) for row in await queries.views()}
        assert standing == served | {("task_board.next", NEWER, 10)}
        with pytest.raises(ViewBehind, match="task_board not built in this version"):
            await queries.at_least(head, newer, timeout_s=0.05)
    # That builder was cancelled half way. The old version is still folded; the next builder goes on, and overtakes it.
    head = await append(store, small_run(task="t2"))
    await Projector(store, store.pool, FOUR).catch_up()
    await Projector(store, store.pool, newer).catch_up()
    assert await queries.at_least(head, newer) == {"task_board": head}
    assert [row.name for row in await queries.views()] == ["agent_board", "event_counts", "task_board", "usage"]
    along = await rows(store, FOUR)
    assert await rebuilt(store, FOUR, version=NEWER + 1) == along
    leftovers = await store.pool.fetchval("select count(*) from pg_namespace where nspname like 'troupe_next%'")
    assert leftovers == 0


async def test_the_program_of_an_older_version_leaves_a_newer_view_alone(store: PostgresStore) -> None:
    await append(store, small_run())
    old = Projector(store, store.pool, [BOARD])
    await old.catch_up()
    along = await rebuilt(store, [BOARD])
    await append(store, small_run(task="t2"))
    with pytest.raises(NewerView, match=f"version {NEWER}, this program knows version {BOARD.version}"):
        await old.catch_up()
    assert await rows(store, [BOARD]) == along


class Number(Row, kw_only=True):
    project: str
    number: int


NUMBERS = Table("numbers", Number, ("project", "number"))


def numbered(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    rows.add(NUMBERS, Number(project=recorded.address.project, number=recorded.position))


async def test_a_new_version_may_have_other_tables(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the tables of the old version go, and nobody else's."""
    await append(store, small_run())
    await Projector(store, store.pool, VIEWS).catch_up()
    table = (
        "create table numbers (project text, number bigint, position bigint, at timestamptz, "
        "primary key (project, number))"
    )

    def sql(name: str) -> str:
        return table if name == "numbers" else statement.sql(name)

    monkeypatch.setattr(tables, "sql", sql)
    numbers = View("task_board", NEWER, "numbers", (NUMBERS,), (), numbered, every=True)
    head = await Projector(store, store.pool, [numbers]).catch_up()
    assert await store.pool.fetchval("select count(*) from numbers") == head
    assert await store.pool.fetchval("select count(*) from agents") > 0
    with pytest.raises(ViewMissing, match="start the company once"):
        await Queries(store, store.pool).tasks("demo")


async def test_a_view_ahead_of_its_log_says_so(store: PostgresStore) -> None:
    await append(store, small_run())
    await Projector(store, store.pool, VIEWS).catch_up()
    await store.pool.execute("update views set position = 10000")
    with pytest.raises(ViewAhead, match="stands at position 10000"):
        await Projector(store, store.pool, VIEWS).catch_up()


async def test_reads_before_the_first_start_say_what_is_missing(store: PostgresStore) -> None:
    with pytest.raises(ViewMissing):
        await Queries(store, store.pool).agents("demo")


async def test_two_installations_in_one_database_do_not_meet(database: str, store: PostgresStore) -> None:
    await append(store, small_run())
    await Projector(store, store.pool, VIEWS).catch_up()
    async with PostgresStore.open(database, schema="second") as other:
        await append(other, [replace(happened, correlation="t7") for happened in small_run(task="t7")])
        await Projector(other, other.pool, VIEWS).catch_up()
        assert [row.task for row in await Queries(other, other.pool).tasks("demo")] == ["t7"]
    assert [row.task for row in await Queries(store, store.pool).tasks("demo")] == ["t1"]
