"""Going through a long log in bounded memory, on any adapter: pages as async iterators, both ways, and side by side.

- Events come in the order of the log (or backward), each once, whoever writes meanwhile: what ends at the head ends at
  the head as it was at the first page.
- One page is in memory at a time. None is fetched ahead: measured, that gains nothing, since taking rows apart costs
  this process as much as finding them costs the server. Who has cores to spare reads ranges side by side.
- A statement looks at SCAN_EVENTS_MAX positions at most, so that a selection of one event in many millions takes many
  short statements instead of one that never ends.
- Nothing is kept: after StoreUnavailable begin again after the last event that came.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import TypeVar

import anyio

from eventstore.errors import BadInput
from eventstore.records import PAGE_EVENTS_MAX, Recorded
from eventstore.selection import Selection
from eventstore.store import Log
from protocol.subjects import Address

SCAN_EVENTS_MAX = 100_000  # Positions a statement looks at: about a tenth of a second on a warm server.
POLL_S_MAX = 5.0  # How late a commit is noticed at worst; NOTIFY only makes it sooner.
RANGES_AT_ONCE = 4  # More connections than the server has cores to spare gain nothing.

Page = Sequence[Recorded]
Pages = AsyncGenerator[Page]
T = TypeVar("T")


async def pages(
    log: Log,
    after: int = 0,
    upto: int | None = None,
    selection: Selection | None = None,
    backward: bool = False,
    page: int = PAGE_EVENTS_MAX,
) -> Pages:
    """The selected events with `after < position <= upto` (None: the head now), page by page, none of them empty."""
    _check_page(page)
    wanted = selection or Selection()
    low, high = after, await log.head() if upto is None else upto
    if wanted.since is not None:
        low = max(low, await log.position_before(wanted.since))
    if wanted.until is not None:
        high = min(high, await log.position_before(wanted.until))
    while low < high:
        # An index finds the events of one stream; whatever else is selected has to be looked for.
        window = high - low if wanted.stream is not None else min(high - low, SCAN_EVENTS_MAX)
        first, last = (high - window, high) if backward else (low, low + window)
        rows = await log.read(first, page, last, wanted, backward)
        if rows:
            yield rows
        full = len(rows) == page
        if backward:
            high = rows[-1].position - 1 if full else first
        else:
            low = rows[-1].position if full else last


async def events(
    log: Log,
    after: int = 0,
    upto: int | None = None,
    selection: Selection | None = None,
    backward: bool = False,
    page: int = PAGE_EVENTS_MAX,
) -> AsyncGenerator[Recorded]:
    """The same, one event at a time."""
    async for rows in pages(log, after, upto, selection, backward, page):
        for recorded in rows:
            yield recorded


async def stream_events(
    log: Log,
    address: Address,
    after: int = 0,
    upto: int | None = None,
    backward: bool = False,
    page: int = PAGE_EVENTS_MAX,
) -> AsyncGenerator[Recorded]:
    """Events of one stream with `after < version <= upto` (None: its version now), one at a time. UnknownStream."""
    _check_page(page)
    version = (await log.stream(address)).version
    low, high = after, version if upto is None else min(upto, version)
    while low < high:
        rows = await log.read_stream(address, low, page, high, backward)
        for recorded in rows:
            yield recorded
        if not rows:
            return
        if backward:
            high = rows[-1].version - 1
        else:
            low = rows[-1].version


async def follow(
    log: Log,
    after: int = 0,
    upto: int | None = None,
    selection: Selection | None = None,
    page: int = PAGE_EVENTS_MAX,
) -> Pages:
    """The selected events from `after` on, page by page: what is committed later comes soon after it is. For ever, or
    until the log has reached `upto` and all up to there has come."""
    while True:
        head = await log.head()
        end = head if upto is None else min(head, upto)
        async for rows in pages(log, after, end, selection, page=page):
            yield rows
        after = max(after, end)
        if upto is not None and after >= upto:
            return
        await log.wait_beyond(after, POLL_S_MAX)


async def split(log: Log, parts: int, after: int = 0, upto: int | None = None) -> list[tuple[int, int]]:
    """`after < position <= upto` (None: the head now) as at most `parts` ranges of about one size, in order, each to be
    read with its own `after` and `upto`."""
    if parts < 1:
        raise BadInput(f"cannot split the log into {parts} parts: use 1 or more")
    last = await log.head() if upto is None else upto
    count = max(0, last - after)
    ends = [after + count * n // parts for n in range(parts + 1)]
    return [(low, high) for low, high in pairwise(ends) if low < high]


async def side_by_side(
    log: Log,
    ranges: Sequence[tuple[int, int]],
    fold: Callable[[Pages], Awaitable[T]],
    selection: Selection | None = None,
    at_once: int = RANGES_AT_ONCE,
) -> list[T]:
    """What `fold` makes of the pages of each range (`after`, `upto`), in the order of the ranges; so many are read at
    once. The first error ends all and is raised."""
    results: dict[int, T] = {}
    failed: list[Exception] = []
    turn = anyio.Semaphore(at_once)

    async def one(number: int, after: int, upto: int) -> None:
        async with turn, aclosing(pages(log, after, upto, selection)) as range_:
            try:
                results[number] = await fold(range_)
            except Exception as error:  # noqa: BLE001 - raised below, alone instead of in a group
                failed.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number, (after, upto) in enumerate(ranges):
            group.start_soon(one, number, after, upto)
    if failed:
        raise failed[0]
    return [results[number] for number in range(len(ranges))]


def _check_page(page: int) -> None:
    if page < 1:
        raise BadInput(f"cannot read pages of {page} events: use 1 or more")
