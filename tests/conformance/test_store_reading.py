"""Reading: by stream, project, kind, type, correlation, time and position, both ways, in pages. For every adapter."""

import itertools
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio.lowlevel import checkpoint

from eventstore import reading
from eventstore.store import (
    Append,
    BadInput,
    EventStore,
    Log,
    Recorded,
    Selection,
    StoreError,
    StreamWrite,
    UnknownStream,
)
from tests.kit.units import NOON, Owner, actor, event, unit

WAIT_S = 20.0
SEEDS = range(8)


async def filled(store: EventStore, count: int, seed: int = 1) -> list[Recorded]:
    """A log of events of several projects, kinds, streams, types and correlations; all of it."""
    rng = random.Random(seed)
    for _ in range(count):
        address = actor(f"s{rng.randrange(4)}", rng.choice(["task", "tools"]), rng.choice(["demo", "other"]))
        new = event(rng.randrange(9), type_=f"task.n{rng.randrange(3)}.v1", correlation=f"run{rng.randrange(3)}")
        await store.append_all([Append((StreamWrite(address, (new,) * rng.randint(1, 3)),))])
    rows = await store.read(0)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    return rows


def positions(rows: Sequence[Recorded]) -> list[int]:
    return [row.position for row in rows]


async def walked(log: Log, *asked: object, **more: object) -> list[int]:
    """The positions that reading.pages comes to."""
    return [row.position async for rows in reading.pages(log, *asked, **more) for row in rows]  # pyright: ignore[reportArgumentType]


async def moment() -> datetime:
    """Later than everything before and earlier than everything after, by the clock that test and server share."""
    at = datetime.now(UTC) + timedelta(microseconds=1)
    while datetime.now(UTC) <= at:
        await checkpoint()
    return at


def chosen(selection: Selection, row: Recorded) -> bool:
    a, s = row.address, selection
    asked = (s.project, s.kind, s.name, s.correlation)
    found = (a.project, a.kind, a.name, row.correlation)
    same = all(wish in (None, value) for wish, value in zip(asked, found, strict=True))
    return same and (s.types is None or row.type in s.types)


@pytest.mark.parametrize("seed", SEEDS)
async def test_any_page_is_the_slice_of_the_log_that_it_should_be(store: EventStore, seed: int) -> None:
    rng = random.Random(seed)
    rows = await filled(store, 30, seed)
    for _ in range(40):
        selection = Selection(
            rng.choice([None, None, "demo", "nobody"]),
            rng.choice([None, None, "tools"]),
            rng.choice([None, None, "s1", "s9"]),
            rng.choice([None, None, ("task.n1.v1",), ("task.n0.v1", "task.n2.v1", "never.written.v1"), ()]),
            rng.choice([None, None, "run1"]),
        )
        after, upto = rng.randrange(len(rows)), rng.choice([None, rng.randrange(len(rows) + 9)])
        limit, backward = rng.randrange(9), rng.random() < 0.5
        last = len(rows) if upto is None else upto
        expected = [row for row in rows if after < row.position <= last and chosen(selection, row)]
        if backward:
            expected.reverse()
        assert await store.read(after, limit, upto, selection, backward) == expected[:limit]
        assert await walked(store, after, upto, selection, backward, rng.randint(1, 5)) == positions(expected)


async def test_a_stream_is_read_both_ways(store: EventStore) -> None:
    await store.append(actor("other"), [event(0)])
    await store.append(actor(), [event(n) for n in range(1, 8)])
    rows = await store.read_stream(actor())
    assert [row.version for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert await store.read_stream(actor(), backward=True) == rows[::-1]
    assert await store.read_stream(actor(), 2, 3) == rows[2:5]
    assert await store.read_stream(actor(), 2, upto=4) == rows[2:4]
    assert await store.read_stream(actor(), 2, 2, 6, backward=True) == [rows[5], rows[4]]
    assert await store.read_stream(actor(), 5, upto=3) == []
    assert await store.read_stream(actor("nobody")) == []
    for backward in (False, True):
        expected = rows[1:6][:: -1 if backward else 1]
        assert [r async for r in reading.stream_events(store, actor(), 1, 6, backward, page=2)] == expected
    assert [r async for r in reading.stream_events(store, actor(), page=3)] == rows
    with pytest.raises(UnknownStream, match="there is no stream demo/task/nobody"):
        await anext(reading.stream_events(store, actor("nobody")))


async def test_streams_tell_how_they_stand(store: EventStore, owner: Owner) -> None:
    await store.append(actor("b"), [event(1), event(2)])
    await owner.commit(unit("a1"))
    await store.append(actor("a", kind="tools"), [event(3)])
    await store.append(actor("c", project="other"), [event(4)])
    listed = await store.streams()
    assert [(s.address, s.version, s.fenced) for s in listed] == [
        (actor("b"), 2, False),
        (actor("a1"), 1, True),
        (actor("a", kind="tools"), 1, False),
        (actor("c", project="other"), 1, False),
    ]
    assert await store.stream(actor("a1")) == listed[1]
    assert await store.streams(listed[0].number, 2) == listed[1:3]
    assert await store.streams(project="demo") == listed[:3]
    assert await store.streams(project="demo", kind="tools") == [listed[2]]
    assert await store.streams(listed[-1].number) == []
    assert await store.streams(limit=0) == []
    for unknown in (actor("nobody"), actor("b", kind="tools"), actor("b", project="other")):
        with pytest.raises(UnknownStream, match="nobody has written to it; look at its spelling"):
            await store.stream(unknown)


async def test_a_commit_of_nothing_makes_no_stream(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("quiet", events=0))
    with pytest.raises(UnknownStream):
        await store.stream(actor("quiet"))


async def test_the_log_is_read_by_the_time_at_which_it_took_events(store: EventStore) -> None:
    moments = [await moment()]
    for n in range(4):
        await store.append(actor(f"a{n % 2}"), [event(2 * n), event(2 * n + 1)])
        moments.append(await moment())
    assert [await store.position_before(at) for at in moments] == [0, 2, 4, 6, 8]
    assert await store.position_before(NOON - timedelta(days=9_000)) == 0
    assert await store.position_before(datetime.max.replace(tzinfo=UTC)) == 8
    for first, last in itertools.combinations_with_replacement(range(5), 2):
        between = Selection(since=moments[first], until=moments[last])
        expected = list(range(2 * first + 1, 2 * last + 1))
        assert positions(await store.read(0, selection=between)) == expected
        assert positions(await store.read(0, selection=between, backward=True)) == expected[::-1]
        assert await walked(store, selection=between, page=3) == expected
    since = Selection("demo", "task", "a1", since=moments[1])
    assert positions(await store.read(0, selection=since)) == [3, 4, 7, 8]
    assert positions(await store.read(3, selection=since, upto=7)) == [4, 7]
    assert positions(await store.read(0, selection=Selection(until=moments[1]))) == [1, 2]


async def test_pages_are_as_big_as_asked_and_never_empty(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SCAN_EVENTS_MAX", 7)
    rows = await filled(store, 40)
    sizes = [len(page) async for page in reading.pages(store, page=5)]
    assert sum(sizes) == len(rows)
    assert set(sizes[:-1]) == {5}
    rare = Selection(types=(rows[-1].type,), correlation=rows[-1].correlation, kind=rows[-1].address.kind)
    expected = [row.position for row in rows if chosen(rare, row)]
    assert await walked(store, selection=rare) == expected
    assert await walked(store, selection=rare, backward=True) == expected[::-1]


async def test_what_ends_at_the_head_ends_at_the_head_as_it_was(store: EventStore) -> None:
    await store.append(actor(), [event(n) for n in range(4)])
    seen: list[int] = []
    async for recorded in reading.events(store, page=2):
        seen.append(recorded.position)
        await store.append(actor(), [event()])
    assert seen == [1, 2, 3, 4]


async def test_following_hears_of_what_comes_later(store: EventStore) -> None:
    await store.append(actor(), [event(n) for n in range(3)])
    seen: list[int] = []

    async def listen(task_status: anyio.abc.TaskStatus[None]) -> None:
        async for page in reading.follow(store, 1, 7, Selection(types=("task.noted.v1",)), page=2):
            seen.extend(positions(page))
            if seen[-1] == 3:
                task_status.started()

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            await group.start(listen)
            await store.append(actor("a2"), [event(type_="task.other.v1")])
            await store.append(actor("a2"), [event(), event()])
            await store.append(actor("a2"), [event(type_="task.other.v1"), event()])
    assert seen == [2, 3, 5, 6]


@pytest.mark.parametrize(
    ("after", "upto", "parts", "expected"),
    [
        (0, None, 3, [(0, 3), (3, 6), (6, 10)]),
        (4, 6, 5, [(4, 5), (5, 6)]),
        (2, 9, 1, [(2, 9)]),
        (10, None, 4, []),
        (7, 3, 2, []),
    ],
)  # fmt: skip
async def test_a_range_is_split_for_reading_side_by_side(
    store: EventStore, after: int, upto: int | None, parts: int, expected: list[tuple[int, int]]
) -> None:
    await store.append(actor(), [event(n) for n in range(10)])

    async def fold(range_: reading.Pages) -> list[int]:
        return [row.position async for page in range_ for row in page]

    ranges = await reading.split(store, parts, after, upto)
    assert ranges == expected
    read = await reading.side_by_side(store, ranges, fold)
    assert read == [list(range(low + 1, high + 1)) for low, high in expected]


async def test_an_error_in_one_range_ends_them_all_and_is_raised(store: EventStore) -> None:
    await store.append(actor(), [event(n) for n in range(10)])

    async def fold(range_: reading.Pages) -> None:
        async for page in range_:
            if page[0].position > 5:
                raise LookupError("not this one")
            await anyio.sleep_forever()

    with anyio.fail_after(WAIT_S), pytest.raises(LookupError, match="not this one"):
        await reading.side_by_side(store, await reading.split(store, 2), fold)


async def test_a_reader_beside_writers_skips_nothing(store: EventStore) -> None:
    seen: list[int] = []

    async def read() -> None:
        async for page in reading.follow(store, page=3):
            seen.extend(positions(page))
            if seen[-1] == 60:
                return

    async def write(name: str) -> None:
        for n in range(20):
            await store.append(actor(name), [event(n)], expected=n)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            for name in ("a", "b", "c"):
                group.start_soon(write, name)
    assert seen == list(range(1, 61))


async def test_bounds_that_mean_nothing_are_refused_in_words(store: EventStore) -> None:
    naive = Selection(since=NOON.replace(tzinfo=None))
    calls = [
        ("use 0 for the beginning", lambda: store.read(-1)),
        ("use 0 for the beginning", lambda: store.read_stream(actor(), -1)),
        ("use 0 for the beginning", lambda: store.streams(-1)),
        ("use 0 for the beginning", lambda: store.read(2**63)),
        ("use 0 for the beginning", lambda: store.wait_beyond(-1, 0)),
        ("limit counts from 0", lambda: store.read(0, -1)),
        ("limit counts from 0", lambda: store.read_stream(actor(), 0, -1)),
        ("limit counts from 0", lambda: store.streams(0, -1)),
        ("cannot read up to -1", lambda: store.read(0, upto=-1)),
        ("cannot read up to -1", lambda: store.read_stream(actor(), upto=-1)),
        ("cannot read up to", lambda: store.read(0, upto=2**63)),
        ("no zone", lambda: store.read(0, selection=naive)),
        ("no zone", lambda: store.position_before(NOON.replace(tzinfo=None))),
        ("NUL", lambda: store.read(0, selection=Selection(correlation="a\0"))),
        ("surrogate", lambda: store.read(0, selection=Selection(types=("\ud800",)))),
        ("there can be no stream demo/task/a.b", lambda: store.stream(actor("a.b"))),
        ("there can be no stream", lambda: store.read_stream(actor("\0"))),
        ("into 0 parts", lambda: reading.split(store, 0)),
        ("pages of 0 events", lambda: anext(reading.pages(store, page=0))),
    ]
    for says, call in calls:
        with pytest.raises(BadInput, match=says):
            await call()
    assert issubclass(BadInput, StoreError)
    assert await store.read(5, upto=3) == []  # A reader may be ahead of what it was told the end is.
