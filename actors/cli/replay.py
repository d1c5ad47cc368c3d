"""The log again: as NDJSON, both ways, in bounded memory; without a filter every position is checked to be there."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.opening import AsSealed, opener_of
from actors.cli.replaying.options import Onto, Where, Which
from actors.cli.replaying.publish import publish
from actors.cli.replaying.states import show_difference, show_state
from actors.cli.running import execute
from actors.host import Settings, reader
from eventstore import reading
from eventstore.store import Log, Recorded, Selection
from protocol.envelope import format_time

PAGE_EVENTS = 200  # An event has up to half a MiB; a page has to fit into memory.
EVERYTHING, NOWHERE, HERE = Which(), Onto(), Where()


def replay(
    *,
    which: Which = EVERYTHING,
    onto: Onto = NOWHERE,
    where: Where = HERE,
    sealed: AsSealed = False,
    json: Annotated[
        bool, Parameter(negative=(), help="The answer as JSON on one line. Events are NDJSON anyhow.")
    ] = False,
) -> int:
    """Print every event of the log, one JSON object a line, in the order they were committed.

    Or publish them onto a NATS subject (--to-subject), or show what an actor was at any position (--state KIND ID).
    Personal text is opened where the master key is, and shown as [erased] once its subject was forgotten; what is
    published stays as it is stored.
    """
    settings = where.place.settings()
    if where.whose is not None:
        if which.chosen or onto.chosen:
            raise Stop(Exit.USAGE, "--state KIND ID takes --at and --diff, and no other choice of events")
        return _look(settings, where, where.whose, sealed, json)
    # Without --project all of the log: who audits must not overlook a tenant.
    wanted = which.selection(where.project)
    if onto.chosen:
        onto.check(which.backward)
        return execute(lambda: publish(settings, which, wanted, onto, pages, json))

    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            opener = opener_of(settings, log, sealed)
            async for page in pages(log, which.first - 1, which.last, wanted, which.follow, which.backward):
                output.lines(line(recorded) for recorded in await opener.events(page))
        return opener.ended()

    return execute(work)


def _look(settings: Settings, where: Where, whose: tuple[str, str], sealed: bool, as_json: bool) -> int:
    at, positions = where.at, where.diff
    if positions is not None:
        return execute(lambda: show_difference(settings, whose, positions, sealed, as_json))
    return execute(lambda: show_state(settings, whose, at, sealed, as_json))


async def pages(
    log: Log, after: int, last: int | None, selection: Selection, follow: bool = False, backward: bool = False
) -> AsyncGenerator[Sequence[Recorded]]:
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


def _check_next(expected: int, found: int) -> None:
    if found != expected:
        raise Stop(
            Exit.DIVERGENCE,
            f"position {expected} is missing from the log: restore it from a backup, and compare before going on",
        )
