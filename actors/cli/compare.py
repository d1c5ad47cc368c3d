"""`troupe fork --compare`: yesterday's commands decided with today's code, and each decision that differs."""

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from actors import casting
from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.running import execute
from actors.host import Settings, reader
from actors.roles.playbook import load_playbooks
from actors.runtime.compare import Compare
from actors.runtime.differences import Comparison, Difference
from actors.services.tools.catalogue import CATALOGUE
from eventstore.store import Log
from protocol.envelope import BadHeader, format_time, parse_time

SHOWN_MAX = 100  # Differences of one group, for people; --json has more.
VALUE_LENGTH_MAX = 60  # Characters of a value that differs.


@Parameter(name="*")
@dataclass(frozen=True)
class Span:
    """Which commands are meant."""

    first: Annotated[int | None, Parameter(name="--from", help="The first position (default: 1).")] = None
    last: Annotated[int | None, Parameter(name="--to", help="The last position (default: the last there is).")] = None
    since: Annotated[str | None, Parameter(help="Only what the log took at that time or later.")] = None
    until: Annotated[str | None, Parameter(help="Only what the log took before that time.")] = None
    kind: Annotated[str | None, Parameter(help="Only commands to actors of that kind.")] = None


WHOLE = Span()


class Group(msgspec.Struct, frozen=True):
    """Commands of one type to actors of one kind ("react": what such actors sent and wanted)."""

    kind: str
    type: str
    compared: int
    differing: int


class ComparedField(msgspec.Struct, frozen=True):
    """A field of the event number `event` (from 1) of those that the command led to."""

    event: int
    type: str
    field: str
    then: Any
    now: Any


class ComparedAnswer(msgspec.Struct, frozen=True):
    """A decision that differs, in `--compare --json`. `what`: "decision", "reaction" or "history"."""

    what: str
    actor: str
    type: str
    command: str
    version: int
    position: int
    at: str | None
    then: str
    now: str
    fields: list[ComparedField]


class CompareAnswer(msgspec.Struct, frozen=True):
    """What `--compare --json` prints. `not_compared`: how many commands, by reason. `differences_unnamed`: how many
    more there are than are in `differences`."""

    first: int
    last: int
    actors: int
    events: int
    compared: int
    differing: int
    not_compared: dict[str, int]
    groups: list[Group]
    differences: list[ComparedAnswer]
    differences_unnamed: int


def compare(settings: Settings, span: Span, after: int | None, as_json: bool) -> int:
    """Compare the decisions of a range; the exit code. `after`: it begins after that position."""
    if after is not None and span.first is not None:
        raise Stop(Exit.USAGE, "--at and --from both say where to begin: choose one")
    since, until = _time("--since", span.since), _time("--until", span.until)

    async def work() -> int:
        kinds = casting.kinds(load_playbooks(tools=CATALOGUE.keys()))
        async with reader(settings, views=False) as (log, _):
            head = await log.head()
            first, last = await _positions(log, span, after, since, until, head)
            found = await Compare(log, kinds, first, last, head, span.kind or "").run()
        output.data(_answer(found)) if as_json else _tell(found)
        return Exit.DIVERGENCE if found.differing.total() else Exit.OK

    return execute(work)


async def _positions(
    log: Log, span: Span, after: int | None, since: datetime | None, until: datetime | None, head: int
) -> tuple[int, int]:
    first = span.first if span.first is not None else (after or 0) + 1
    last = head if span.last is None else span.last
    # What led to nothing may stand after the last event.
    if not 1 <= first <= head + 1 or last > head or (span.last is not None and last < first):
        raise Stop(Exit.USAGE, f"there is no range from {first} to {last}: the log's positions are 1 to {head}")
    if since is not None:
        first = max(first, await log.position_before(since) + 1)
    if until is not None:
        last = min(last, await log.position_before(until))
    return first, last


def _time(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_time(text, option)
    except BadHeader as error:
        raise Stop(Exit.USAGE, str(error)) from error


def _order(found: Difference) -> tuple[str, str, str, int, str, str]:
    return found.what, found.address.kind, found.type, found.position, str(found.address), found.id


def _answer(found: Comparison) -> CompareAnswer:
    keys = sorted({*found.compared, *found.differing})
    return CompareAnswer(
        first=found.first,
        last=found.last,
        actors=found.actors,
        events=found.events,
        compared=found.compared.total(),
        differing=found.differing.total(),
        not_compared=dict(sorted(found.skipped.items())),
        groups=[Group(*key, found.compared[key], found.differing[key]) for key in keys],
        differences=[
            ComparedAnswer(
                d.what, str(d.address), d.type, d.id, d.version, d.position,
                None if d.at is None else format_time(d.at), d.then, d.now, [ComparedField(*each) for each in d.fields],
            )
            for d in sorted(found.differences, key=_order)
        ],
        differences_unnamed=found.unnamed,
    )  # fmt: skip


def _tell(found: Comparison) -> None:
    for (what, kind, type_), group in groupby(sorted(found.differences, key=_order), key=lambda d: _order(d)[:3]):
        named, key = list(group), (kind, type_)
        if what == "decision":
            output.say(f"{type_} to {kind}: {found.differing[key]} of {found.compared[key]} would be decided otherwise")
        elif what == "reaction":
            output.say(f"what actors of the kind {kind} sent and wanted: {found.differing[key]} differ")
        else:
            output.say(f"histories of the kind {kind} that this version cannot live: {found.differing[key]}")
        for each in named[:SHOWN_MAX]:
            _tell_one(each)
        if found.differing[key] > SHOWN_MAX:
            output.say(f"  and {found.differing[key] - SHOWN_MAX} more: see them with --json")
    for reason, count in sorted(found.skipped.items()):
        output.note(f"not compared: {count} commands: {reason}")
    differing = found.differing.total()
    output.note(
        f"positions {found.first} to {found.last}: {found.compared.total()} commands of {found.actors} actors decided "
        f"again. " + (f"{differing} differences." if differing else "Every decision is the same.")
    )


def _tell_one(found: Difference) -> None:
    where = f"position {found.position}" if found.position else "under way"
    at = "" if found.at is None else f"  {format_time(found.at)}"
    output.say(f"  {where}{at}  {found.address}@{found.version}  {found.id}")
    if found.fields:
        for n, type_, name, then, now in found.fields:
            output.say(f"    event {n} {type_}: {name}: {_value(then)} -> {_value(now)}")
    else:
        output.say(f"    then: {found.then}")
        output.say(f"    now:  {found.now}")


def _value(value: Any) -> str:
    text = "(none)" if value is None else msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_LENGTH_MAX else f"{text[: VALUE_LENGTH_MAX - 3]}..."
