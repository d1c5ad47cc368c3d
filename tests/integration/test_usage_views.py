"""Artifacts, usage, event counts and an agent's own page, read from a real PostgreSQL."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest_asyncio

from eventstore.postgres.store import PostgresStore
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from protocol.role import RoleAssigned
from protocol.router import CompletionGiven
from protocol.subjects import Address
from tests.kit.board_run import BEGIN, DIAGRAM, REPORT, Happened, small_run
from tests.kit.views import append


@pytest_asyncio.fixture(loop_scope="session")
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


async def folded(store: PostgresStore, *runs: list[Happened]) -> Queries:
    for run in runs:
        await append(store, run)
    await Projector(store, store.pool, VIEWS).catch_up()
    return Queries(store, store.pool)


async def test_usage_is_told_apart_as_asked(store: PostgresStore) -> None:
    queries = await folded(store, small_run(), small_run(project="other"))
    given = [(r.role, r.agent, r.model, r.requests, r.errors, r.tokens_in) for r in await queries.usage("demo")]
    assert given == [
        ("presenter", "presenter-1", "small-1", 2, 0, 250),
        ("tester", "tester-1", "", 0, 1, 0),
        ("tester", "tester-1", "small-1", 1, 0, 900),
    ]
    (whole,) = await queries.usage("demo", apart=())
    assert (whole.requests, whole.errors, whole.tokens_in, whole.tokens_out) == (3, 1, 1150, 115)
    # One of the three has no known price: what it cost is not 0, it is not known.
    assert (whole.priced, whole.cost_micros) == (2, 3 * (900 + 150))
    assert (whole.day, whole.role, whole.agent, whole.provider, whole.model) == (None,) * 5
    by_provider = {row.provider: row.requests for row in await queries.usage("demo", apart=("provider",))}
    assert by_provider == {"": 0, "openai": 3}
    assert await queries.usage("nobody") == []


async def test_usage_is_kept_by_the_day_and_by_whoever_had_the_role_then(store: PostgresStore) -> None:
    day_s = 86_400
    address = Address("demo", "router", "t1")
    asked = CompletionGiven("tester", 1, "ef", provider="p", model="m", tokens_in=1)
    queries = await folded(
        store,
        [
            Happened(address, asked, "t1", 0),
            Happened(Address("demo", "tester", "t1"), RoleAssigned("x", "a-1"), "t1", 1),
            Happened(address, asked, "t1", 2),
            Happened(Address("demo", "tester", "t1"), RoleAssigned("x", "a-2"), "t1", day_s),
            Happened(address, asked, "t1", day_s + 1),
        ],
    )
    first, second = BEGIN.date(), (BEGIN + timedelta(days=1)).date()
    rows = await queries.usage("demo", apart=("day", "agent"))
    assert [(row.day, row.agent, row.requests) for row in rows] == [
        (first, "", 1),
        (first, "a-1", 1),
        (second, "a-2", 1),
    ]
    assert [row.requests for row in await queries.usage("demo", apart=("day",), since=second)] == [1]
    assert [row.requests for row in await queries.usage("demo", apart=("day",), until=first)] == [2]


async def test_artifacts_of_a_project_a_task_and_a_role(store: PostgresStore) -> None:
    queries = await folded(store, small_run(), small_run(task="t2"), small_run(project="other"))
    everything = await queries.artifacts("demo")
    assert [(row.task, row.role, row.path) for row in everything] == [
        (task, role, path)
        for task in ("t2", "t1")
        for role, path in (
            ("presenter", DIAGRAM.path), ("architect", REPORT.path), ("architect", DIAGRAM.path),
            ("orchestrator", REPORT.path),
        )
    ]  # fmt: skip
    assert {row.delivered_at is not None for row in everything} == {True}
    assert [row.task for row in await queries.artifacts("demo", task="t1", role="architect")] == ["t1", "t1"]
    assert len(await queries.artifacts("demo", limit=3)) == 3
    found = await queries.artifact("demo", "t1", "architect", DIAGRAM.path)
    assert found is not None
    assert (found.sha256, found.size_bytes) == (DIAGRAM.blob, 300)
    assert await queries.artifact("demo", "t1", "tester", DIAGRAM.path) is None
    assert await queries.artifact("other", "t2", "architect", DIAGRAM.path) is None


async def test_event_counts_are_those_of_the_log(store: PostgresStore) -> None:
    run = small_run()
    queries = await folded(store, run, small_run(project="other"))
    expected: dict[tuple[str, str], int] = {}
    for happened in run:
        key = (happened.address.kind, happened.new().type)
        expected[key] = expected.get(key, 0) + 1
    counted = await queries.log_counts("demo")
    assert {(row.kind, row.type): row.events for row in counted} == expected
    assert max(row.last_position for row in counted) == len(run)
    assert {row.kind for row in await queries.log_counts("demo", kind="tools")} == {"tools"}


async def test_an_agents_own_page(store: PostgresStore) -> None:
    queries = await folded(store, small_run(), small_run(task="t2")[:-22])
    detail = await queries.agent("demo", "tester-1")
    assert detail is not None
    assert detail.agent.agent == "tester-1"
    assert [(row.task, row.open, row.status) for row in detail.engagements] == [
        (row.task, row.open, row.status) for row in sorted(detail.engagements, key=lambda row: not row.open)
    ]
    assert {row.task for row in detail.engagements} == {"t1", "t2"}
    assert [(row.model, row.requests) for row in detail.usage if row.model] == [("small-1", 2)]
    assert await queries.agent("demo", "nobody-1") is None
    assert await queries.agent("other", "tester-1") is None
