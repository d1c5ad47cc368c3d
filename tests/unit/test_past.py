"""What an actor was at any position is the fold of its first events, whatever snapshots say, and nothing is written."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime import past
from actors.runtime.folding import Unfoldable
from actors.runtime.kind import Kind
from actors.runtime.past import events_between, state_at
from eventstore.memory.store import MemoryStore
from eventstore.snapshots import Snapshot
from eventstore.store import NewEvent, UnknownStream
from protocol.codec import encode
from protocol.message import Event, tag_of
from protocol.subjects import Address
from protocol.upcast import Fields, Upcast
from tests.kit.counting import COUNTER, Added, Count
from tests.kit.units import NOON, actor

ONE, OTHER = actor("one", "counter"), actor("other", "counter")


class AddedMore(Event, frozen=True, tag="counter.added.v2", omit_defaults=True):
    """v1 called the number `n`."""

    number: int
    trouble: str = ""


def _upcast(fields: Fields) -> Fields:
    return {"number": fields["n"]}


def _evolve(state: Count, event: AddedMore) -> Count:
    return Count(state.total + event.number, state.adds + 1)


# The counter of a later version, for which what is stored under the old tag is read as the new one.
LATER: Kind[Any] = replace(
    COUNTER, events=(AddedMore,), evolve=_evolve, retired=(Upcast("counter.added.v1", "counter.added.v2", _upcast),)
)


async def write(store: MemoryStore, address: Address, event: Event) -> None:
    await store.append(address, [NewEvent(tag_of(event), encode(event), NOON, "run", "c")])


def folded(numbers: Sequence[int]) -> bytes:
    return msgspec.json.encode(Count(sum(numbers), len(numbers)), order="deterministic")


@settings(max_examples=150, deadline=None)
@given(
    events=st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.booleans()), min_size=1, max_size=25),
    snapshot=st.integers(0, 25),
    page=st.integers(1, 7),
    data=st.data(),
)
async def test_a_state_is_the_fold_of_the_first_events(
    events: list[tuple[bool, int, bool]], snapshot: int, page: int, data: st.DataObject
) -> None:
    """Events of two actors, some under a tag that is retired by now, and a snapshot somewhere on the way."""
    store, mine = MemoryStore(), list[tuple[int, int]]()
    for position, (is_mine, n, retired) in enumerate([(True, 3, True), *events], start=1):
        await write(store, ONE if is_mine else OTHER, Added(n) if retired else AddedMore(n))
        if is_mine:
            mine.append((position, n))
        if is_mine and len(mine) == snapshot:
            state = Count(sum(n for _, n in mine), len(mine))
            assert await store.snapshots.put(Snapshot(ONE, len(mine), LATER.state_schema, encode(state)))
    kept, head = dict(store.snapshots.rows), await store.head()
    at = data.draw(st.integers(0, head))
    usual, past.PAGE_EVENTS = past.PAGE_EVENTS, page
    try:
        moment = await state_at(store, LATER, ONE, at)
        before = await state_at(store, LATER, ONE, data.draw(st.integers(0, at)))
    finally:
        past.PAGE_EVENTS = usual
    there = [(position, n) for position, n in mine if position <= at]
    assert moment.state == folded([n for _, n in there])
    assert (moment.version, moment.event) == (len(there), there[-1][0] if there else 0)
    assert moment.snapshot == (snapshot if 0 < snapshot <= len(there) else 0)
    assert moment.folded == len(there) - moment.snapshot
    between = await events_between(store, before, moment)
    assert [each.position for each in between] == [p for p, _ in mine if before.position < p <= at]
    assert (store.snapshots.rows, await store.head()) == (kept, head), "nothing is written"


async def test_a_snapshot_that_misleads_is_no_obstacle() -> None:
    """One that cannot be read, and one on which the history cannot be folded: the events say what was."""
    store = MemoryStore()
    for n in (1, 2, 3):
        await write(store, ONE, Added(n))
    for body in (b"{", b'{"total":"x","adds":1}'):
        assert await store.snapshots.put(Snapshot(ONE, 2, COUNTER.state_schema, body))
        moment = await state_at(store, COUNTER, ONE, 3)
        assert (moment.state, moment.snapshot, moment.folded) == (folded([1, 2, 3]), 0, 3)
        await store.snapshots.drop(ONE)

    def picky(state: Count, event: Added) -> Count:
        if state.total > 50:
            raise RuntimeError("that cannot be")
        return Count(state.total + event.n, state.adds + 1)

    kind: Kind[Any] = replace(COUNTER, evolve=picky)
    assert await store.snapshots.put(Snapshot(ONE, 2, kind.state_schema, encode(Count(99, 2))))
    assert (await state_at(store, kind, ONE, 3)).state == folded([1, 2, 3])
    assert await store.snapshots.get(ONE, kind.state_schema) is not None, "it is left for the company to drop"


async def test_what_cannot_be_folded_is_named() -> None:
    store = MemoryStore()
    await write(store, ONE, Added(1))
    await write(store, OTHER, Added(1))
    await write(store, ONE, Added(1, "evolve"))
    assert (await state_at(store, COUNTER, ONE, 2)).state == folded([1]), "up to there it can"
    with pytest.raises(Unfoldable, match="counter/one@2 at position 3: RuntimeError: cannot become that"):
        await state_at(store, COUNTER, ONE, 3)
    await write(store, OTHER, AddedMore(1))
    with pytest.raises(Unfoldable, match=r"counter/other@2 at position 4: UnknownTag: .*'counter.added.v2'"):
        await state_at(store, COUNTER, OTHER, 4)
    with pytest.raises(UnknownStream):
        await state_at(store, COUNTER, actor("nobody", "counter"), 4)


async def test_a_state_that_is_no_json_is_said_so() -> None:
    store = MemoryStore()
    await write(store, ONE, Added(1))

    def no_json(_: Any, __: Any) -> object:
        return object()

    kind: Kind[Any] = replace(COUNTER, state=None, evolve=no_json)
    with pytest.raises(Unfoldable, match="state of demo/counter/one cannot be written as JSON"):
        await state_at(store, kind, ONE, 1)


async def test_sets_and_mappings_have_one_order() -> None:
    store = MemoryStore()
    for n in (3, 1, 2):
        await write(store, ONE, Added(n))

    def collect(state: Any, event: Added) -> dict[str, Any]:
        seen: dict[str, Any] = {} if isinstance(state, Count) else state
        return {str(event.n): frozenset({str(event.n), "x", "a"}), **seen}

    kind: Kind[Any] = replace(COUNTER, state=None, evolve=collect)
    moment = await state_at(store, kind, ONE, 3)
    assert moment.state == b'{"1":["1","a","x"],"2":["2","a","x"],"3":["3","a","x"]}'
