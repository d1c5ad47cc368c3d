"""Forks on a real PostgreSQL: what a crash leaves, who comes second, every table, and what was really under way."""

import asyncio
from random import Random

import asyncpg
import pytest

from actors.runtime.nats_bus import utc_now
from actors.runtime.reenact import reenact
from eventstore.postgres.store import PostgresStore
from eventstore.store import NoSuchLog, StoreError, StoreUnavailable
from projections.projector import Projector
from projections.queries import VIEWS
from tests.kit.clockwork import KINDS, WHEELS, HandCompany, Turn, wheel
from tests.kit.units import Owner, actor, event, unit

# What becomes of each table in a fork. A new one must be put into one of these, and be seen to in eventstore/sql/fork.
COPIED = {
    "event_types", "events", "streams", "commits", "inbox", "blobs", "blob_chunks", "blob_names",
    "parked_actors", "parked_commands", "past_parkings", "past_waits",
}  # fmt: skip
ITS_OWN = {
    "migrations", "fork", "recorded_outcomes", "score",
    "asks",  # Nobody waits in a fork: those who asked are told by the original.
    "attempts", "workers", "leases",  # Of the company that runs it.
    "outbox", "timers", "effects",  # From reactions that are run again.
    "traces",  # What happens in a fork is no part of the original's.
    "partitions", "views", "view_ranges", "view_quarantines", "snapshots",  # As in a new installation.
    "blob_uploads", "blob_scan",
    "blob_marks",  # What recorded outcomes name; the rest is found in the log again.
}  # fmt: skip
EMPTY_HERE = {"blob_chunks", "blob_names", "parked_actors", "parked_commands", "past_parkings", "past_waits"}
SHARED = {"master_keys", "subject_keys"}  # Empty: a fork uses those of the original.


async def schemas(store: PostgresStore) -> list[str]:
    rows = await store.pool.fetch(
        "select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')"
    )
    return sorted(row[0] for row in rows)


async def test_every_table_is_seen_to(database: str) -> None:
    async with PostgresStore.open(database) as store:
        rows = await store.pool.fetch("select tablename from pg_tables where schemaname = 'troupe'")
        known = COPIED | ITS_OWN | SHARED
        assert {row[0] for row in rows} == known, "a fork does not know what to do with a table"
        owner = await Owner.of(store, 0)
        await store.blobs.put("demo", b"content")
        await owner.commit(unit("a1", 0, "c1", events=2))
        async with store.forks.creating(2, "f1"):
            pass
        for table in COPIED - EMPTY_HERE:
            ours = await store.pool.fetch(f"select * from troupe.{table} order by 1")
            theirs = await store.pool.fetch(f"select * from f1.{table} order by 1")
            assert [tuple(row) for row in ours] == [tuple(row) for row in theirs]
            assert ours, table


@pytest.mark.parametrize("at_end", [False, True])
async def test_a_crash_while_it_is_made_leaves_nothing(database: str, at_end: bool) -> None:
    async with PostgresStore.open(database) as store:
        owner = await Owner.of(store, 0)
        await owner.commit(unit("a1", 0, "c1", events=2))

        async def killed() -> None:
            async with store.forks.creating(2, "f1") as draft:
                assert await store.pool.fetchval(
                    "select bool_or(pg_terminate_backend(pid)) from pg_stat_activity "
                    "where application_name = 'troupe fork'"
                )
                if not at_end:
                    await draft.history(actor("a1"), 0, 9)

        with pytest.raises(StoreUnavailable):
            await killed()
        assert await schemas(store) == ["troupe"]
        assert await store.forks.listed() == []
        async with store.forks.creating(2, "f1"):
            pass
        assert [fork.name for fork in await store.forks.listed()] == ["f1"]


async def test_cancelled_while_it_is_made_leaves_nothing(database: str) -> None:
    async with PostgresStore.open(database) as store:
        owner = await Owner.of(store, 0)
        await owner.commit(unit("a1", 0, "c1", events=2))
        begun = asyncio.Event()

        async def never_done() -> None:
            async with store.forks.creating(2, "f1"):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(never_done())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with store.forks.creating(2, "f1"):  # Waits for the server to have given the first one up.
            pass


async def test_of_two_with_one_name_the_second_is_told(database: str) -> None:
    async with PostgresStore.open(database) as store:
        owner = await Owner.of(store, 0)
        await owner.commit(unit("a1", 0, "c1", events=2))

        async def make(position: int) -> str:
            try:
                async with store.forks.creating(position, "f1"):
                    return "made"
            except StoreError as error:
                return str(error)

        told = await asyncio.gather(make(1), make(2))
        (other,) = [words for words in told if words != "made"]
        assert "something called 'f1'" in other


async def test_the_original_and_others_go_on_while_it_is_made(database: str) -> None:
    async with PostgresStore.open(database) as store:
        owner = await Owner.of(store, 0)
        await owner.commit(unit("a1", 0, "c1", events=2))
        async with store.forks.creating(2, "f1") as draft:
            await owner.commit(unit("a1", 2, "c2", events=2))
            async with PostgresStore.open(database, schema="second") as second:  # Even an installation is made.
                assert await second.forks.listed() == []
            assert len(await draft.history(actor("a1"), 0, 9)) == 2
        assert await store.head() == 4


async def test_a_log_that_must_be_there(database: str) -> None:
    with pytest.raises(NoSuchLog, match="no log called 'nowhere'"):
        async with PostgresStore.open(database, "nowhere", must_exist=True):
            pytest.fail("it was opened")
    async with PostgresStore.open(database) as store:
        assert await schemas(store) == ["troupe"]
        await store.append(actor("free"), [event(1)])
        async with store.forks.creating(1, "f1"):
            pass
    async with PostgresStore.open(database, "f1", prepare=False, must_exist=True) as fork:
        assert await fork.head() == 1


async def test_dropping_takes_its_views_and_nothing_else(database: str) -> None:
    async with PostgresStore.open(database) as store:
        await store.append(actor("free"), [event(1)])
        for name in ("f1", "f1_next_door"):
            async with store.forks.creating(1, name):
                pass
        async with PostgresStore.open(database, "f1") as fork:
            await Projector(fork, fork.pool, VIEWS).catch_up()
            await fork.pool.execute("create schema f1_next_task_board")  # A view that was being built.
        async with PostgresStore.open(database, "second"):
            pass
        with pytest.raises(NoSuchLog, match="no fork called 'second'"):
            await store.forks.drop("second")
        await store.forks.drop("f1")
        assert await schemas(store) == ["f1_next_door", "second", "troupe"]


async def test_what_was_really_under_way(database: str) -> None:
    """A company by hand on the real store; then its rows against those of a fork at the head."""
    async with PostgresStore.open(database) as store:
        chance = Random(11)
        company = await HandCompany(store, KINDS, utc_now, chance).open()
        for _ in range(12):
            company.arrive(wheel(chance.choice(WHEELS)), Turn(chance.randrange(100), 3))
            await company.commit(chance.random())
            if chance.random() < 0.3:
                await company.perform()
        head = await store.head()
        async with store.forks.creating(head, "f1") as draft:
            again = await reenact(draft, KINDS)
        assert again.events == head
        silent = {send.id for send in company.silent}
        async with PostgresStore.open(database, "f1") as fork:
            await _same_sends(store, fork, silent)
            effects = (
                "select key, kind, name, effect_kind, safety, body, correlation, causation from effects order by key"
            )
            held = {row["key"]: tuple(row) for row in await store.pool.fetch(effects)}
            found = {row["key"]: tuple(row) for row in await fork.pool.fetch(effects)}
            heard = {row["outcome_of"] for row in await store.pool.fetch("select outcome_of from outbox")} - {""}
            assert found.keys() == held.keys() | heard
            assert {key: found[key] for key in held} == held
            assert {row["key"] for row in await fork.pool.fetch("select key from recorded_outcomes")} == heard
            timers = "select name, key, type, body, correlation, causation from timers order by 1, 2"
            mine = {tuple(row) for row in await fork.pool.fetch(timers)}
            assert {tuple(row) for row in await store.pool.fetch(timers)} == mine  # Nobody fired them.


async def _same_sends(store: PostgresStore, fork: PostgresStore, silent: set[str]) -> None:
    sends = "select key, kind, name, partition, sender, type, correlation, causation, body from outbox {} order by id"
    held = [tuple(row) for row in await store.pool.fetch(sends.format("where outcome_of = ''"))]
    found = [tuple(row) for row in await fork.pool.fetch(sends.format(""))]
    assert silent, "a run that shows too little"
    assert [row for row in found if row[0] not in silent] == held
    assert {row[0] for row in found} - {row[0] for row in held} == silent
    lowest = await fork.pool.fetchval("select min(id) from outbox")
    assert lowest > (await store.pool.fetchval("select max(id) from outbox"))


async def test_a_fork_is_made_by_set_based_copies(database: str) -> None:
    """Ten thousand events are nothing; what grows is in the server."""
    async with PostgresStore.open(database) as store:
        for n in range(10):
            await store.append(actor(f"a{n}"), [event(k) for k in range(1_000)])
        async with store.forks.creating(9_500, "f1"):
            pass
        async with PostgresStore.open(database, "f1") as fork:
            assert await fork.head() == 9_500
            assert await fork.read(9_490) == await store.read(9_490, upto=9_500)
            assert (await fork.audit.verify()).broken is None
            with pytest.raises(asyncpg.UniqueViolationError):
                await fork.pool.execute("insert into fork select * from fork")
