"""Every view can be asked, by the columns its tables really have, and no question looks at more rows than it must."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from actors.embedded.servers import Servers
from eventstore.postgres.store import PostgresStore
from projections.asking import Asking, read_query
from projections.listing import Above, Listing
from projections.listings import LISTINGS
from projections.projector import Projector
from projections.queries import VIEWS
from projections.selecting import cursor, select
from protocol.query import Answer
from tests.kit.board_run import small_run, troubled_run
from tests.kit.servers import drop_database, fresh_database

BOTH = [LISTINGS[name] for name in sorted(LISTINGS)]
by_name = pytest.mark.parametrize("listing", BOTH, ids=lambda listing: listing.name)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def store(servers: Servers) -> AsyncGenerator[PostgresStore]:
    """A log with one run, folded into every view."""
    dsn = await fresh_database(servers)
    async with PostgresStore.open(dsn) as opened:
        for happened in (*small_run(), *troubled_run()):
            await opened.append(happened.address, [happened.new()])
        await Projector(opened, opened.pool, VIEWS).catch_up()
        yield opened
    await drop_database(servers, dsn)


async def ask(store: PostgresStore, listing: Listing, **fields: Any) -> Answer:
    return await Asking(store.pool).ask(listing, read_query({"project": "demo", "limit": 500} | fields))


def test_every_view_has_a_listing() -> None:
    assert {view.name for view in VIEWS} <= LISTINGS.keys()
    assert {listing.view for listing in BOTH} == set(VIEWS)


@by_name
async def test_its_columns_are_the_tables(store: PostgresStore, listing: Listing) -> None:
    found = await store.pool.fetch(
        "select column_name, is_nullable from information_schema.columns "
        "where table_name = $1 and table_schema = current_schema()",
        listing.table.name,
    )
    nullable = {row["column_name"]: row["is_nullable"] == "YES" for row in found}
    assert set(listing.row.__struct_fields__) == nullable.keys()
    assert not any(nullable[name] for name in listing.order)


@by_name
async def test_all_that_may_be_asked_is_answered(store: PostgresStore, listing: Listing) -> None:
    whole = await ask(store, listing)
    assert whole.position == await store.head()
    assert msgspec.json.decode(msgspec.json.encode(whole))["view"] == listing.name
    assert whole.rows, "the run of tests/kit/board_run.py has nothing of this: add to it"
    for name in listing.filters:
        where = {each: str(getattr(whole.rows[0], each)) for each in (*listing.needs(name), name)}
        rows = (await ask(store, listing, where=where)).rows
        assert whole.rows[0] in rows
        assert all(str(getattr(row, each)) == value for row in rows for each, value in where.items())
    key = {name: str(getattr(whole.rows[0], name)) for name in listing.table.key if name != "project"}
    assert (await ask(store, listing, where=key)).rows == whole.rows[:1]
    after = await ask(store, listing, after=cursor(listing, whole.rows[0]))
    assert after.rows == whole.rows[1:]
    if listing.failed:
        failed = (await ask(store, listing, failed=True)).rows
        assert failed == tuple(row for row in whole.rows if _failed(listing, row))
    assert (await ask(store, listing, since="2027-01-01T00:00:00Z")).rows == ()
    assert (await ask(store, listing, until="2027-01-01T00:00:00Z")).rows == whole.rows


def _failed(listing: Listing, row: Any) -> bool:
    return any(
        getattr(row, each.column) > 0 if isinstance(each, Above) else getattr(row, each.column) in each.values
        for each in listing.failed
    )


@by_name
async def test_an_index_leads_to_each_answer(store: PostgresStore, listing: Listing) -> None:
    found = await store.pool.fetch(
        "select indexdef from pg_indexes where tablename = $1 and schemaname = current_schema()", listing.table.name
    )
    indexes = [_columns_of(row["indexdef"]) for row in found]
    if listing.few:
        assert len(indexes) <= 2, "an index that nobody needs costs every event"
        return
    newest = f"{listing.time} DESC"
    assert _begins(indexes, ["project", newest])
    for name in listing.alone:
        behind = [] if name == listing.order[-1] or name == _first_of_key(listing) else [newest]
        assert _begins(indexes, ["project", name, *behind]), name
    if listing.failed:
        statement, _ = select(listing, read_query({"project": "demo", "failed": True}))
        assert _begins(indexes, ["project", newest], partial=True) or (
            "= '" in statement and _begins(indexes, ["project", listing.failed[0].column, newest])
        )


def _first_of_key(listing: Listing) -> str:
    return next(name for name in listing.table.key if name != "project")


def _columns_of(definition: str) -> tuple[list[str], bool]:
    """The columns of an index, and whether it is of some rows only."""
    match = re.search(r"USING btree \((.*?)\)(?: WHERE (.*))?$", definition)
    assert match is not None, definition
    return [column.strip().replace('"', "") for column in match[1].split(",")], match[2] is not None


def _begins(indexes: list[tuple[list[str], bool]], wanted: list[str], partial: bool = False) -> bool:
    return any(columns[: len(wanted)] == wanted and some is partial for columns, some in indexes)
