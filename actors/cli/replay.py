"""The log as NDJSON, both ways, in bounded memory; without a filter every position is checked to be there."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.opening import AsSealed, opener_of
from actors.cli.options import Place
from actors.cli.running import execute
from actors.host import reader
from eventstore import reading
from eventstore.store import Log, Recorded, Selection
from protocol.envelope import BadHeader, format_time, parse_time

PAGE_EVENTS = 200  # An event has up to half a MiB; a page has to fit into memory.


def replay(
    *,
    first: Annotated[int, Parameter(name="--from")] = 1,
    last: Annotated[int | None, Parameter(name="--to")] = None,
    kind: str | None = None,
    task: str | None = None,
    since: str | None = None,
    until: str | None = None,
    backward: bool = False,
    follow: bool = False,
    sealed: AsSealed = False,
    place: Place = Place(),  # noqa: B008 - frozen
    json: Annotated[bool, Parameter(negative=(), help="Changes nothing: the answer is always NDJSON.")] = False,
) -> int:
    """Print every event of the log, one JSON object a line, in the order they were committed.

    Personal text is opened where the master key is, and shown as [erased] once its subject was forgotten.

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
    since
        Only what the log took at that time or later ("2026-01-31T12:00:00Z").
    until
        Only what the log took before that time.
    backward
        The last event first.
    follow
        Go on with what is committed from now on, until Ctrl-C or --to.
    """
    _check(first, last, follow, backward)
    settings = place.settings()
    # Without --project all of the log: who audits must not overlook a tenant.
    wanted = Selection(place.project, kind, None, None, task, _time("--since", since), _time("--until", until))

    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            opener = opener_of(settings, log, sealed)
            async for page in pages(log, first - 1, last, wanted, follow, backward):
                output.lines(line(recorded) for recorded in await opener.events(page))
        return opener.ended()

    return execute(work)


async def pages(
    log: Log, after: int, last: int | None, selection: Selection, follow: bool = False, backward: bool = False
) -> AsyncIterator[Sequence[Recorded]]:
    """The selected events with `after < position <= last`, page by page.

    Stop(DIVERGENCE) at a gap, which can only be seen where everything is selected.
    """
    if follow:
        end, source = last, reading.follow(log, after, last, selection, PAGE_EVENTS)
    else:
        head = await log.head()
        end = head if last is None else min(head, last)
        source = reading.pages(log, after, end, selection, backward, PAGE_EVENTS)
    async with aclosing(source):
        expected, step = (end or 0, -1) if backward else (after + 1, 1)
        async for page in source:
            if selection == Selection():
                for recorded in page:
                    _check_next(expected, recorded.position)
                    expected += step
            yield page
        if selection == Selection() and end is not None and after < end:
            _check_next(expected, after if backward else end + 1)


def line(recorded: Recorded) -> bytes:
    """One event as JSON; `body` is what was committed, byte for byte, but for personal text that was opened."""
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


def _check(first: int, last: int | None, follow: bool, backward: bool) -> None:
    if first < 1 or (last is not None and last < first):
        raise Stop(Exit.USAGE, "positions count from 1, and --to must not be before --from")
    if backward and follow:
        raise Stop(Exit.USAGE, "--follow goes on with what comes last, --backward begins with it: choose one")


def _check_next(expected: int, found: int) -> None:
    if found != expected:
        raise Stop(
            Exit.DIVERGENCE,
            f"position {expected} is missing from the log: restore it from a backup, and compare before going on",
        )


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text, option)
    except BadHeader as error:
        raise Stop(Exit.USAGE, str(error)) from error
