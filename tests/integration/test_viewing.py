"""One process of a company folds its views; another goes on when that one ends, a keeper that was killed at once."""

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from actors import viewing
from actors.runtime import leading
from actors.viewing import LEASE, views_kept
from eventstore.postgres.store import PostgresStore
from projections.queries import Queries
from tests.kit.board_run import small_run
from tests.kit.views import SIGNAL_S, append

FOREVER_S = 3_600.0


@pytest_asyncio.fixture(loop_scope="session")
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(database) as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that end soon."""
    monkeypatch.setattr(leading, "LEASE_TTL_S", 0.6)
    monkeypatch.setattr(leading, "RENEW_EVERY_S", 0.2)


async def test_a_worker_folds_when_the_keeper_has_stopped(store: PostgresStore, tmp_path: Path) -> None:
    queries = Queries(store, store.pool)
    async with views_kept(store, tmp_path) as _:
        head = await append(store, small_run())
        await queries.at_least(head, timeout_s=SIGNAL_S)
        owner = (await store.leases.take(LEASE, uuid4(), 0.1)).owner
        async with views_kept(store):
            head = await append(store, small_run(task="t2"))
            await queries.at_least(head, timeout_s=SIGNAL_S)
            assert (await store.leases.take(LEASE, uuid4(), 0.1)).owner == owner, "one folds at a time"
    async with views_kept(store):
        head = await append(store, small_run(task="t3"))
        await queries.at_least(head, timeout_s=SIGNAL_S)
        assert (await store.leases.take(LEASE, uuid4(), 0.1)).owner != owner


async def test_a_worker_folds_when_the_lease_of_a_killed_keeper_is_over(store: PostgresStore, quick: None) -> None:
    killed = uuid4()
    assert (await store.leases.take(LEASE, killed, 0.4)).owner == killed
    head = await append(store, small_run())
    async with views_kept(store):
        await Queries(store, store.pool).at_least(head, timeout_s=SIGNAL_S)


async def test_a_keeper_that_was_killed_goes_on_at_once(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease has long to run; a stranger would wait for it."""
    monkeypatch.setattr(leading, "LEASE_TTL_S", FOREVER_S)
    before = viewing.owner_of(tmp_path)
    assert (await store.leases.take(LEASE, before, FOREVER_S)).owner == before
    head = await append(store, small_run())
    async with views_kept(store, tmp_path):
        await Queries(store, store.pool).at_least(head, timeout_s=SIGNAL_S)
