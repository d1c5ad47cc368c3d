"""Every event of one correlation, by positions that are known and a look at the rest of the log."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from eventstore import reading
from eventstore.store import Log, Recorded, Selection

PAGE_EVENTS = 200  # An event has up to half a MiB; a page has to fit into memory.
NEAR_EVENTS_MAX = 2_000  # Known positions that lie closer are read in one statement: passing so many is quick.


async def correlated(
    log: Log, project: str, correlation: str, upto: int, known: Sequence[int] = (), covered: int = 0
) -> AsyncGenerator[Recorded]:
    """The events of the correlation up to that position, in the order of the log. `known` are the positions of all of
    them up to `covered`; what lies behind is looked through. StoreUnavailable."""
    selection = Selection(project=project, correlation=correlation)
    ranges = [*_stretches([position for position in known if position <= upto]), (covered, upto)]
    for after, last in ranges:
        if after >= last:
            continue
        async with aclosing(reading.events(log, after, last, selection, page=PAGE_EVENTS)) as found:
            async for recorded in found:
                yield recorded


def _stretches(known: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges (`after`, `upto`) that hold all these positions, and few others."""
    stretches: list[tuple[int, int]] = []
    for position in known:
        if stretches and position - stretches[-1][1] <= NEAR_EVENTS_MAX:
            stretches[-1] = stretches[-1][0], position
        else:
            stretches.append((position - 1, position))
    return stretches
