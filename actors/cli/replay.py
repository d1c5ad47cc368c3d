"""The log as NDJSON, in order, in bounded memory; without a filter every position is checked to be there."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.options import Place
from actors.cli.running import execute
from actors.host import reader
from eventstore.store import Log, Recorded, Selection
from protocol.envelope import format_time

PAGE_EVENTS = 200  # An event has up to half a MiB; a page has to fit into memory.
WAIT_S = 5.0


def replay(
    *,
    first: Annotated[int, Parameter(name="--from")] = 1,
    last: Annotated[int | None, Parameter(name="--to")] = None,
    kind: str | None = None,
    task: str | None = None,
    follow: bool = False,
    place: Place = Place(),  # noqa: B008 - frozen
    json: Annotated[bool, Parameter(negative=(), help="Changes nothing: the answer is always NDJSON.")] = False,
) -> int:
    """Print every event of the log, one JSON object a line, in the order they were committed.

    Parameters
    ----------
    first
        The first position (they count from 1).
    last
        The last position; default: the last at the start.
    kind
        Only streams of that kind ("task", "tools", "architect").
    task
        Only what that task caused.
    follow
        Go on with what is committed from now on, until Ctrl-C or --to.
    """
    if first < 1 or (last is not None and last < first):
        raise Stop(Exit.USAGE, "positions count from 1, and --to must not be before --from")
    settings = place.settings()
    # Without --project all of the log: who audits must not overlook a tenant.
    selection = Selection(project=place.project, kind=kind, correlation=task)

    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            async for page in pages(log, first - 1, last, selection, follow):
                output.lines(line(recorded) for recorded in page)
        return Exit.OK

    return execute(work)


async def pages(
    log: Log, after: int, last: int | None, selection: Selection, follow: bool = False
) -> AsyncIterator[Sequence[Recorded]]:
    """The selected events with `after < position <= last`, page by page.

    Stop(DIVERGENCE) at a gap, which can only be seen where everything is selected.
    """
    while True:
        head = await log.head()
        end = head if last is None else min(head, last)
        while after < end:
            page = await log.read(after, PAGE_EVENTS, end, selection)
            if selection == Selection():
                _check_dense(after, page)
            if not page:
                break
            yield page
            after = page[-1].position
        after = max(after, end)
        if not follow or after == last:
            return
        await log.wait_beyond(after, WAIT_S)


def line(recorded: Recorded) -> bytes:
    """One event as JSON; `body` is what was committed, byte for byte."""
    fields: dict[str, Any] = {
        "position": recorded.position,
        "project": recorded.address.project,
        "kind": recorded.address.kind,
        "id": recorded.address.name,
        "version": recorded.version,
        "event": recorded.reference,
        "type": recorded.type,
        "at": format_time(recorded.at),
        "correlation": recorded.correlation,
        "causation": recorded.causation,
        "body": msgspec.Raw(recorded.body),
    }
    return msgspec.json.encode(fields)


def _check_dense(after: int, page: Sequence[Recorded]) -> None:
    positions = [recorded.position for recorded in page]
    if positions and positions == list(range(after + 1, after + 1 + len(positions))):
        return
    missing = next((expected for expected, found in enumerate(positions, after + 1) if found != expected), after + 1)
    raise Stop(
        Exit.DIVERGENCE,
        f"position {missing} is missing from the log: restore it from a backup, and compare before going on",
    )
