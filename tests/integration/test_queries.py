"""Reads of a view on a real PostgreSQL: pages, filters, times, failures, and the wait for a position."""

from collections.abc import AsyncGenerator
from datetime import date, timedelta
from random import Random
from typing import Any

import anyio
import msgspec
import pytest
import pytest_asyncio

from eventstore.postgres.store import PostgresStore
from eventstore.store import StoreUnavailable
from projections import asking as asking_module
from projections.asking import Asking, read_query
from projections.errors import BadQuery, QueryBehind, ViewMissing
from projections.listing import Listing
from protocol.query import Answer
from tests.kit.notes_view import BEGIN, DAYS, LISTING, Note, Notes, note, ordered, places, some_notes

PATIENCE_S = 20.0


@pytest_asyncio.fixture(loop_scope="session")
async def notes(database: str) -> AsyncGenerator[Notes]:
    async with PostgresStore.open(database) as store:
        yield await Notes.made(store)


@pytest_asyncio.fixture(loop_scope="session")
async def asking(notes: Notes) -> Asking:
    return Asking(notes.store.pool)


async def ask(asking: Asking, listing: Listing = LISTING, **fields: Any) -> Answer:
    return await asking.ask(listing, read_query({"project": "demo"} | fields))


async def walk(asking: Asking, listing: Listing, limit: int, **fields: Any) -> list[Any]:
    """Every page, put together."""
    rows, after = list[Any](), ""
    while True:
        answer = await ask(asking, listing, limit=limit, after=after, **fields)
        assert len(answer.rows) <= limit
        rows += answer.rows
        assert len(rows) < 1_000, "the pages go round in circles"
        if not answer.next:
            return rows
        after = answer.next


async def test_rows_come_back_as_they_are(notes: Notes, asking: Asking) -> None:
    first = note(1, words=("a", 'b"c'), detail={"n": [1, None]}, errors=2, seconds=0.5, text="…")
    await notes.put([first, note(2, project="other")], position=9)
    answer = await ask(asking)
    (row,) = answer.rows
    assert (answer.view, answer.position, answer.next) == ("notes", 9, "")
    assert (row.words, row.detail, row.seconds, row.text, row.twice) == (("a", 'b"c'), {"n": [1, None]}, 0.5, "…", 4)
    assert msgspec.json.decode(msgspec.json.encode(row))["at"] == "2026-01-31T12:00:01Z"
    assert msgspec.to_builtins(row).keys() == {*Note.__struct_fields__, "twice"}


@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize("listing", [LISTING, DAYS], ids=lambda listing: listing.name)
async def test_pages_put_together_are_the_whole(notes: Notes, asking: Asking, listing: Listing, limit: int) -> None:
    there = some_notes(Random(limit), 40)
    await notes.put([*there, *(note(n, project="other") for n in range(5))])
    if listing is DAYS:
        there.sort(key=lambda each: (each.day, each.position, each.task, each.place), reverse=True)
    else:
        there = ordered(there)
    assert places(await walk(asking, listing, limit)) == places(there)
    failed = [each for each in there if each.status == "failed" or (listing is LISTING and _failed(each))]
    assert 0 < len(failed) < len(there)
    assert places(await walk(asking, listing, limit, failed=True)) == places(failed)


def _failed(each: Note) -> bool:
    return each.status in ("failed", "lost") or each.errors > 0


@pytest.mark.parametrize("seed", range(4))
async def test_a_row_that_does_not_change_is_on_exactly_one_page(notes: Notes, asking: Asking, seed: int) -> None:
    random = Random(seed)
    now = {(each.task, each.place): each for each in some_notes(random, 80)}
    await notes.put(now.values())
    unchanged, seen, after, position = set(now), list[tuple[str, int]](), "", 10
    while True:
        answer = await ask(asking, limit=random.randrange(1, 12), after=after)
        seen += places(answer.rows)
        if not (after := answer.next):
            break
        for _ in range(random.randrange(4)):
            position += 1
            key = random.choice(sorted(now))
            unchanged.discard(key)
            match random.randrange(3):
                case 0:
                    await notes.remove(now.pop(key))
                case 1:  # Changed, as a later event changes it.
                    later = {"position": position, "at": BEGIN + timedelta(seconds=random.randrange(12))}
                    now[key] = msgspec.structs.replace(now[key], **later)
                    await notes.put([now[key]])
                case _:
                    added = note(100 + position, second=random.randrange(12), position=position)
                    await notes.put([added])
    kept = [key for key in seen if key in unchanged]
    assert kept == places(ordered(now[key] for key in unchanged))
    assert len(unchanged) > 10


async def test_filters_are_equalities_that_all_hold(notes: Notes, asking: Asking) -> None:
    there = some_notes(Random(7), 60)
    await notes.put(there)
    for where, wanted in (
        ({"status": "open"}, [each for each in there if each.status == "open"]),
        ({"task": "t1", "status": "done"}, [each for each in there if (each.task, each.status) == ("t1", "done")]),
        ({"words": "two"}, [each for each in there if "two" in each.words]),
        ({"errors": "1"}, [each for each in there if each.errors == 1]),
        ({"day": "2026-01-31"}, there),
        ({"day": "2026-02-01"}, []),
        ({"status": "' or true --"}, []),
        ({"task": "a\0b"}, []),
    ):
        assert places(await walk(asking, LISTING, 7, where=where)) == places(ordered(wanted)), where
        both = await walk(asking, LISTING, 7, where=where, failed=True)
        assert places(both) == places(ordered(each for each in wanted if _failed(each))), where


async def test_one_row_by_its_key(notes: Notes, asking: Asking) -> None:
    await notes.put(note(n, task=task) for n in range(5) for task in ("t1", "t2"))
    answer = await ask(asking, where={"task": "t2", "place": "3"})
    assert places(answer.rows) == [("t2", 3)]


async def test_a_time_range_has_its_beginning_and_not_its_end(notes: Notes, asking: Asking) -> None:
    await notes.put(note(n) for n in range(10))
    since, until = ((BEGIN + timedelta(seconds=n)).isoformat() for n in (3, 6))
    assert [row.place for row in await walk(asking, LISTING, 2, since=since, until=until)] == [5, 4, 3]
    assert [row.place for row in await walk(asking, LISTING, 2, since=until)] == [9, 8, 7, 6]
    assert [row.place for row in await walk(asking, LISTING, 2, until="2026-01-31T14:00:02+02:00")] == [1, 0]
    assert (await ask(asking, since=until, until=since)).rows == ()


async def test_a_day_belongs_to_the_range_that_its_beginning_is_in(notes: Notes, asking: Asking) -> None:
    await notes.put(note(n, day=date(2026, 1, n)) for n in range(1, 6))

    async def days(**fields: str) -> list[int]:
        return [row.place for row in await walk(asking, DAYS, 2, **fields)]

    assert await days(since="2026-01-02T00:00:00Z", until="2026-01-04T00:00:00Z") == [3, 2]
    assert await days(since="2026-01-02T00:00:00.000001Z") == [5, 4, 3]
    assert await days(until="2026-01-02T00:00:00.000001Z") == [2, 1]
    assert await days(since="2026-01-04T01:00:00+01:00") == [5, 4]


async def test_what_cannot_be_asked_is_told(notes: Notes, asking: Asking) -> None:
    await notes.put([note(n) for n in range(3)])
    elsewhere = (await ask(asking, DAYS, limit=1)).next
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"where": {"seconds": "1"}}, "unknown-filter"),
        ({"where": {"text": "x"}}, "unknown-filter"),
        ({"where": {"project": "other"}}, "unknown-filter"),
        ({"where": {"errors": "many"}}, "bad-value"),
        ({"where": {"errors": "99999999999999999999"}}, "bad-value"),
        ({"where": {"task": "t1", "place": "9999999999"}}, "bad-value"),  # PostgreSQL's integer is shorter than ours.
        ({"where": {"day": "yesterday"}}, "bad-value"),
        ({"where": {"task": "\udcff"}}, "bad-value"),
        ({"after": elsewhere}, "bad-cursor"),
        ({"after": "no cursor"}, "bad-cursor"),
        ({"after": "bnVsbA"}, "bad-cursor"),
        ({"project": "a.b"}, "bad-project"),
        ({"project": ""}, "bad-project"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "bad-time"),
    ]
    for fields, code in mistakes:
        with pytest.raises(BadQuery) as refused:
            await ask(asking, **fields)
        assert refused.value.fault.code == code, fields
    with pytest.raises(BadQuery) as refused:
        await ask(asking, where={"nope": "1"})
    assert refused.value.fault.allowed == LISTING.filters == ("task", "place", "status", "words", "day", "errors")


async def test_at_least_waits_and_wakes(notes: Notes, asking: Asking) -> None:
    await notes.put([note(5)])
    answers = list[Answer]()

    async def wait(position: int) -> None:
        answers.append(await ask(asking, at_least=position, timeout_s=PATIENCE_S))

    async with anyio.create_task_group() as group:
        for _ in range(20):  # More than the pool has connections.
            group.start_soon(wait, 7)
        await wait(5)
        assert [answer.position for answer in answers] == [5]
        await notes.put([note(6)])
        await notes.put([note(7)])
    assert {(answer.position, len(answer.rows)) for answer in answers[1:]} == {(7, 3)}


async def test_a_view_that_stays_behind_is_told_with_where_it_stands(notes: Notes, asking: Asking) -> None:
    await notes.stand(5)
    with pytest.raises(QueryBehind, match="stands at 5") as behind:
        await ask(asking, at_least=6, timeout_s=0.05)
    assert behind.value.position == 5


async def test_a_view_of_another_version_is_missing(notes: Notes, asking: Asking) -> None:
    await notes.store.pool.execute("update views set version = version + 1 where name = 'notes'")
    with pytest.raises(ViewMissing, match="version 3"):
        await ask(asking)
    with pytest.raises(QueryBehind, match="not there in this version"):
        await ask(asking, at_least=1, timeout_s=0.05)
    await notes.store.pool.execute("update views set version = version - 1 where name = 'notes'")
    await notes.store.pool.execute("alter table notes drop column seconds")
    with pytest.raises(ViewMissing, match="seconds"):
        await ask(asking)


async def test_rows_and_position_are_of_one_moment(notes: Notes, asking: Asking) -> None:
    await notes.put([note(1, task="only", position=1)])
    done = anyio.Event()

    async def write() -> None:
        for position in range(2, 60):
            await notes.put([note(1, task="only", position=position)])
        done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        while not done.is_set():
            answer = await ask(asking)
            assert [row.position for row in answer.rows] == [answer.position]


async def test_a_read_that_takes_too_long_ends_and_leaves_no_connection_behind(
    notes: Notes, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await notes.put([note(1)])
    pool = notes.store.pool
    async with pool.acquire() as other, other.transaction():
        await other.execute("lock table notes")
        for _ in range(2 * asking_module.READS_MAX):
            with pytest.raises(StoreUnavailable, match="no answer within"):
                await ask(asking, timeout_s=0.05)
    assert len((await ask(asking)).rows) == 1
