"""Replay: everything selected, in order, as it was committed; a gap is a divergence."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from actors.cli.exits import Exit, Stop
from actors.cli.replay import PAGE_EVENTS, line, pages
from eventstore.memory.store import MemoryStore
from eventstore.store import NewEvent, Recorded, Selection
from protocol.subjects import Address

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def _filled(events: int) -> MemoryStore:
    log = MemoryStore()
    for number in range(events):
        address = Address("demo", "task" if number % 2 else "tools", "t1")
        body = b'{"type":"x.y.v1","number":%d}' % number
        await log.append(address, [NewEvent("x.y.v1", body, AT, "t1", "c")])
    return log


async def _positions(
    log: MemoryStore, after: int, last: int | None, selection: Selection, backward: bool = False
) -> list[int]:
    return [each.position async for page in pages(log, after, last, selection, backward=backward) for each in page]


async def test_every_event_comes_once_and_in_order_over_many_pages() -> None:
    events = 2 * PAGE_EVENTS + 7
    log = await _filled(events)
    assert await _positions(log, 0, None, Selection()) == list(range(1, events + 1))


@pytest.mark.parametrize(
    ("after", "last", "kind", "expected"),
    [(0, 3, None, [1, 2, 3]), (7, None, None, [8, 9, 10]), (2, 8, "task", [4, 6, 8]), (0, 99, "nobody", [])],
)
async def test_a_part_can_be_selected(after: int, last: int | None, kind: str | None, expected: list[int]) -> None:
    log = await _filled(10)
    assert await _positions(log, after, last, Selection(kind=kind)) == expected
    assert await _positions(log, after, last, Selection(kind=kind), backward=True) == expected[::-1]


async def test_following_ends_at_the_last_position_asked_for() -> None:
    log = await _filled(3)
    seen: list[int] = []
    async for page in pages(log, 0, 5, Selection(), follow=True):
        seen += [each.position for each in page]
        if seen[-1] < 5:
            await log.append(Address("demo", "task", "t1"), [NewEvent("x.y.v1", b"{}", AT, "t1", "c")])
    assert seen == [1, 2, 3, 4, 5]


class _Holed(MemoryStore):
    """A log that lost the event at position 3."""

    async def read(self, *asked: Any, **more: Any) -> list[Recorded]:
        return [each for each in await super().read(*asked, **more) if each.position != 3]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("after", "last", "events"), [(0, None, 5), (2, None, 3), (0, 3, 5), (2, 3, 5), (2, 4, 5)])
async def test_a_gap_is_a_divergence(after: int, last: int | None, events: int, backward: bool) -> None:
    log = _Holed()
    for _ in range(events):
        await log.append(Address("demo", "task", "t1"), [NewEvent("x.y.v1", b"{}", AT, "t1", "c")])
    with pytest.raises(Stop, match="position 3 is missing") as stopped:
        await _positions(log, after, last, Selection(), backward)
    assert stopped.value.code == Exit.DIVERGENCE


async def test_a_part_without_its_gap_is_none() -> None:
    log = _Holed()
    for _ in range(5):
        await log.append(Address("demo", "task", "t1"), [NewEvent("x.y.v1", b"{}", AT, "t1", "c")])
    assert await _positions(log, 3, None, Selection(), backward=True) == [5, 4]
    assert await _positions(log, 0, 2, Selection()) == [1, 2]
    assert await _positions(log, 0, None, Selection(project="demo")) == [1, 2, 4, 5]


def test_a_line_holds_the_body_byte_for_byte() -> None:
    body = b'{"type":"tools.called.v1","big":12345678901234567890,"text":"a\\u00e9"}'
    recorded = Recorded(7, Address("demo", "tools", "t1"), 3, "tools.called.v1", AT, "t1", "cause", body)
    encoded = line(recorded)
    assert body in encoded
    assert json.loads(encoded) == {
        "position": 7,
        "project": "demo",
        "kind": "tools",
        "id": "t1",
        "version": 3,
        "event": "tools/t1@3",
        "type": "tools.called.v1",
        "at": "2026-01-31T12:00:00.000000Z",
        "correlation": "t1",
        "causation": "cause",
        "body": json.loads(body),
    }
    assert b"\n" not in line(msgspec.structs.replace(recorded, correlation="two\nlines"))
