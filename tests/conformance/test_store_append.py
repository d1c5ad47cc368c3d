"""Plain appends: groups over many streams, a verdict each, and repetitions that find themselves. For every adapter."""

from contextlib import suppress

import anyio
import pytest

from eventstore.store import (
    ANY_VERSION,
    NO_STREAM,
    Append,
    Appended,
    EventStore,
    FencedStream,
    IdTaken,
    InvalidUnit,
    NewEvent,
    StoreError,
    StreamWrite,
    VersionConflict,
)
from tests.kit.units import NOON, Owner, actor, event, external, unit


def write(name: str, *numbers: int, expected: int | None = ANY_VERSION, project: str = "demo") -> StreamWrite:
    """Events with these numbers, for the stream of that name."""
    return StreamWrite(actor(name, project=project), tuple(event(n) for n in numbers), expected)


def alone(name: str, *numbers: int, expected: int | None = ANY_VERSION, id_: str = "") -> Append:
    return Append((write(name, *numbers, expected=expected),), id_)


def told(verdicts: tuple[Appended, ...]) -> list[tuple[str, int, int]]:
    return [(v.status, v.first_position, v.last_position) for v in verdicts]


async def log(store: EventStore) -> list[tuple[str, int, bytes]]:
    """The whole log, after a look that its positions are dense."""
    rows = await store.read(0)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    return [(row.address.name, row.version, row.body) for row in rows]


def many(event_: NewEvent, times: int = 1) -> Append:
    return Append((StreamWrite(actor("a"), (event_,) * times),))


def body(n: int) -> bytes:
    return event(n).body


async def test_an_append_over_many_streams_lies_side_by_side(store: EventStore) -> None:
    verdicts = await store.append_all(
        [Append((write("a", 1, 2, expected=NO_STREAM), write("b", 3), write("c"))), alone("d", 4, expected=NO_STREAM)]
    )
    assert told(verdicts) == [("committed", 1, 3), ("committed", 4, 4)]
    assert await log(store) == [("a", 1, body(1)), ("a", 2, body(2)), ("b", 1, body(3)), ("d", 1, body(4))]


async def test_no_appends_are_no_verdicts(store: EventStore) -> None:
    assert await store.append_all([]) == ()


async def test_an_append_that_loses_in_one_stream_writes_to_none_and_takes_no_other_with_it(
    store: EventStore, owner: Owner
) -> None:
    await store.append(actor("a"), [event(1)])
    await owner.commit(unit("actors"))
    verdicts = await store.append_all(
        [
            alone("x", 5, expected=NO_STREAM),
            Append((write("y", 6), write("a", 7, expected=NO_STREAM))),
            Append((write("y", 8), write("actors", 9, expected=5))),
            alone("y", 10, expected=NO_STREAM),
        ]
    )
    assert told(verdicts) == [("committed", 3, 3), ("conflict", 0, 0), ("fenced", 0, 0), ("committed", 4, 4)]
    assert verdicts[1].detail == "demo/task/a: expected version 0, found 1; read the stream again"
    assert verdicts[2].detail == "demo/task/actors: the stream belongs to an actor; send the actor a command instead"
    assert (await log(store))[2:] == [("x", 1, body(5)), ("y", 1, body(10))]


async def test_appends_of_one_call_are_judged_one_after_the_other(store: EventStore) -> None:
    verdicts = await store.append_all(
        [
            alone("a", 1, expected=NO_STREAM),
            alone("a", 2, expected=NO_STREAM),
            alone("a", 3, expected=1),
            alone("a", 4),
            Append((write("b", 5), write("a", 6, 7, expected=3))),
            alone("a", 8, expected=4),
        ]
    )
    assert [v.status for v in verdicts] == ["committed", "conflict", "committed", "committed", "committed", "conflict"]
    assert verdicts[1].detail == "expected version 0, found 1; read the stream again"
    assert verdicts[5].detail == "expected version 4, found 5; read the stream again"
    assert [v.first_position for v in verdicts] == [1, 0, 2, 3, 4, 0]
    assert await log(store) == [
        ("a", 1, body(1)),
        ("a", 2, body(3)),
        ("a", 3, body(4)),
        ("b", 1, body(5)),
        ("a", 4, body(6)),
        ("a", 5, body(7)),
    ]


async def test_a_write_without_events_only_checks_the_version(store: EventStore) -> None:
    await store.append(actor("a"), [event(1)])
    verdicts = await store.append_all(
        [
            Append((write("a", expected=1), write("b", 2))),
            Append((write("a", expected=0), write("b", 3))),
            Append((write("none", expected=NO_STREAM),)),
        ]
    )
    assert told(verdicts) == [("committed", 2, 2), ("conflict", 0, 0), ("committed", 0, 0)]
    assert [name for name, _, _ in await log(store)] == ["a", "b"]


async def test_the_identical_append_with_expected_versions_finds_itself(store: EventStore) -> None:
    append = Append((write("a", 1, 2, expected=NO_STREAM), write("b", 3, expected=NO_STREAM)))
    await store.append(actor("z"), [event(9)])
    assert told(await store.append_all([append])) == [("committed", 2, 4)]
    assert told(await store.append_all([append])) == [("known", 2, 4)]
    await store.append(actor("a"), [event(4)])  # Also once its streams have moved on.
    await store.append(actor("b"), [event(5)])
    assert told(await store.append_all([alone("c", 6), append])) == [("committed", 7, 7), ("known", 2, 4)]
    assert len(await log(store)) == 7


async def test_the_identical_append_twice_in_one_call_is_known_the_second_time(store: EventStore) -> None:
    once = alone("a", 1, 2, expected=NO_STREAM)
    assert told(await store.append_all([once, once])) == [("committed", 1, 2), ("known", 1, 2)]
    named = alone("b", 3, id_="import-7")
    assert told(await store.append_all([named, named])) == [("committed", 3, 3), ("known", 3, 3)]
    assert len(await log(store)) == 3


@pytest.mark.parametrize(
    "other",
    [
        NewEvent("task.noted.v2", body(1), event(1).at, "run", "c1"),
        NewEvent("task.noted.v1", body(2), event(1).at, "run", "c1"),
        NewEvent("task.noted.v1", body(1), NOON, "run", "c1"),
        NewEvent("task.noted.v1", body(1), event(1).at, "another", "c1"),
        NewEvent("task.noted.v1", body(1), event(1).at, "run", "c2"),
    ],
)
async def test_what_differs_in_anything_is_no_repetition(store: EventStore, other: NewEvent) -> None:
    await store.append_all([alone("a", 1, expected=NO_STREAM), alone("b", 1, id_="once")])
    differs = Append((StreamWrite(actor("a"), (other,), NO_STREAM),))
    taken = Append((StreamWrite(actor("b"), (other,)),), "once")
    assert [v.status for v in await store.append_all([differs, taken])] == ["conflict", "taken"]
    assert len(await log(store)) == 2


async def test_events_that_did_not_come_together_are_no_repetition(store: EventStore) -> None:
    for name, n in (("a", 1), ("z", 9), ("b", 2)):
        await store.append(actor(name), [event(n)])
    both = Append((write("a", 1, expected=NO_STREAM), write("b", 2, expected=NO_STREAM)))
    longer = alone("a", 1, 3, expected=NO_STREAM)  # The stream does not reach as far.
    unsure = Append((write("a", 1, expected=NO_STREAM), write("b", 2)))
    assert [v.status for v in await store.append_all([both, longer, unsure])] == ["conflict"] * 3


async def test_an_id_makes_any_append_known_whatever_became_of_its_streams(store: EventStore, owner: Owner) -> None:
    append = Append((write("a", 1), write("b", 2)), "import-1")
    assert told(await store.append_all([append])) == [("committed", 1, 2)]
    await owner.commit(unit("b", expected=1))  # An actor's now.
    assert told(await store.append_all([append])) == [("known", 1, 2)]
    again = Append((write("a", 1, expected=9), write("b", 2, expected=9)), "import-1")
    assert told(await store.append_all([again])) == [("known", 1, 2)]  # What it expected is not what it wrote.
    assert await store.append(actor("c"), [event(3)], id="import-2") == 4
    assert await store.append(actor("c"), [event(3)], id="import-2") == 4
    with pytest.raises(IdTaken, match="'import-2' stands for another append"):
        await store.append(actor("c"), [event(4)], id="import-2")
    assert len(await log(store)) == 4


async def test_an_id_is_free_again_for_the_next_if_its_append_loses(store: EventStore) -> None:
    verdicts = await store.append_all(
        [alone("a", 1, expected=5, id_="i"), alone("b", 2, id_="i"), alone("b", 2, id_="i"), alone("c", 3, id_="i")]
    )
    assert told(verdicts) == [("conflict", 0, 0), ("committed", 1, 1), ("known", 1, 1), ("taken", 0, 0)]


async def test_ids_of_appends_are_scoped_by_project_and_apart_from_commands(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1", command="c1"))
    elsewhere = Append((write("a", 1, project="other"),), "c1")
    assert told(await store.append_all([alone("a", 1, id_="c1"), elsewhere])) == [
        ("committed", 2, 2),
        ("committed", 3, 3),
    ]
    await store.append(actor("a"), [event(4)], id="c2")
    (verdict,) = await owner.commit(unit("a2", settled=(external("c2"),), command=None))
    assert verdict.status == "committed"


async def test_appends_at_the_same_time_are_all_written_once(store: EventStore) -> None:
    positions: list[int] = []

    async def append(n: int) -> None:
        positions.append(await store.append(actor("shared" if n % 2 else f"a{n}"), [event(n), event(n)]))

    async with anyio.create_task_group() as group:
        for n in range(60):
            group.start_soon(append, n)
    assert sorted(positions) == list(range(2, 121, 2))
    assert [row.version for row in await store.read_stream(actor("shared"))] == list(range(1, 61))
    assert len(await log(store)) == 120


async def test_of_many_that_expect_the_same_one_wins(store: EventStore) -> None:
    won: list[int] = []

    async def append(n: int) -> None:
        with suppress(VersionConflict):
            won.append(await store.append(actor("a"), [event(n)], expected=NO_STREAM))

    async with anyio.create_task_group() as group:
        for n in range(20):
            group.start_soon(append, n)
    assert won == [1]
    assert len(await log(store)) == 1


async def test_an_actors_stream_is_fenced_to_appends_of_every_kind(store: EventStore, owner: Owner) -> None:
    await owner.commit(unit("a1"))
    for expected, id_ in ((ANY_VERSION, ""), (1, ""), (NO_STREAM, ""), (ANY_VERSION, "i")):
        with pytest.raises(FencedStream, match="send the actor a command instead"):
            await store.append(actor("a1"), [event()], expected, id_)
    assert await store.head() == 1


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Append(()), "writes to no stream"),
        (Append((write("a", 1), write("a", 2))), "one stream twice"),
        (Append((write("a", 1), write("a", 2, project="other"))), "several projects"),
        (alone("a", 1, expected=-1), "versions count from 1"),
        (alone("a.b", 1), "cannot be part of a subject"),
        (alone("a", 1, id_="i" * 513), "513 characters"),
        (alone("a", 1, id_="\0"), "NUL"),
        (many(NewEvent("t.n.v1", b"{}", NOON.replace(tzinfo=None), "r", "c")), "no zone"),
        (many(NewEvent("t.n.v1", b"{}", NOON, "r", "c"), 10_001), "split it"),
        (many(NewEvent("t.n.v1", b"x" * 500_000, NOON, "r", "c"), 34), "split it"),
    ],
)  # fmt: skip
async def test_an_append_no_store_can_hold_is_named_and_nothing_is_written(
    store: EventStore, bad: Append, says: str
) -> None:
    with pytest.raises(InvalidUnit, match=says) as caught:
        await store.append_all([alone("good", 1), bad])
    assert caught.value.index == 1
    assert await store.head() == 0


async def test_too_much_in_one_call_is_refused(store: EventStore) -> None:
    half = many(event(), 6_000)
    with pytest.raises(StoreError, match=r"12000 events .* make several calls"):
        await store.append_all([half, half])
    assert await store.head() == 0
