"""Asks one view, as `<root>.query.<view>` does over NATS: rows by filter, time and page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.opening import AsSealed, opener_of
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import reader
from projections.asking import Asking, read_query
from projections.errors import BadQuery, QueryBehind
from projections.listing import Listing
from projections.listings import LISTINGS, listing_of
from protocol.envelope import BadHeader, format_time, parse_time
from protocol.query import QUERY_ROWS, QUERY_ROWS_MAX, QUERY_TIMEOUT_S, Answer, Query


@Parameter(name="*")
@dataclass(frozen=True)
class Wanted:
    """Which rows are meant."""

    where: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(), help="Only rows with that value in that column: NAME=VALUE; may be given several times."
        ),
    ] = ()
    since: Annotated[str | None, Parameter(help='Only rows of that time or later ("2026-01-31T12:00:00Z").')] = None
    until: Annotated[str | None, Parameter(help="Only rows of before that time.")] = None
    failed: Annotated[bool, Parameter(negative=(), help="Only what failed.")] = False
    limit: Annotated[int, Parameter(help="At most that many.")] = QUERY_ROWS
    after: Annotated[str, Parameter(help="Go on behind the page that ended with this (`next` of its answer).")] = ""
    at_least: Annotated[int, Parameter(help="Wait until the view holds the log up to that position.")] = 0
    wait: Annotated[float, Parameter(help="How many seconds at most.")] = QUERY_TIMEOUT_S

    def of(self, project: str) -> Query:
        """The query. BadQuery, Stop(USAGE)."""
        if not 1 <= self.limit <= QUERY_ROWS_MAX:
            said = f"--limit {self.limit}: ask for 1 to {QUERY_ROWS_MAX} rows, and go on with --after"
            raise Stop(Exit.USAGE, said)
        return read_query({
            "project": project, "where": dict(map(_pair, self.where)), "failed": self.failed, "limit": self.limit,
            "after": self.after, "at_least": self.at_least, "timeout_s": self.wait,
            "since": _time("--since", self.since), "until": _time("--until", self.until),
        })  # fmt: skip


ALL = Wanted()


def query(
    view: str = "",
    /,
    *,
    wanted: Wanted = ALL,
    sealed: AsSealed = False,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Ask a view of the project for rows, newest first; without a view, list the views and what they can be asked by.

    Works without a running company. Over NATS the same is asked on `troupe.query.VIEW`.

    Parameters
    ----------
    view
        Its name, such as task_board or task_board.roles.
    """
    if not view:
        _tell_views(as_json)
        return Exit.OK
    settings = place.settings()
    try:
        listing, asked = listing_of(view), wanted.of(settings.project)
    except BadQuery as error:
        raise Stop(Exit.USAGE, str(error)) from error

    async def work() -> int:
        async with reader(settings) as (store, _):
            try:
                answer = await Asking(store.pool).ask(listing, asked)
            except BadQuery as error:
                raise Stop(Exit.USAGE, str(error)) from error
            except QueryBehind as error:
                raise Stop(Exit.UNAVAILABLE, str(error)) from error
            opener = opener_of(settings, store, sealed)
            answer = msgspec.structs.replace(answer, rows=tuple(await opener.rows(settings.project, answer.rows)))
        output.data(answer) if as_json else _tell(listing, answer)
        return opener.ended()

    return execute(work)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Stop(Exit.USAGE, f"--where {text}: write NAME=VALUE; `troupe query` lists the names")
    return name, value


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text, option)
    except BadHeader as error:
        raise Stop(Exit.USAGE, str(error)) from error


def _tell_views(as_json: bool) -> None:
    listings = [LISTINGS[name] for name in sorted(LISTINGS)]
    if as_json:
        output.data([
            {"view": each.name, "filters": each.filters, "time": each.time, "fails": bool(each.failed)}
            for each in listings
        ])  # fmt: skip
        return
    output.table(
        ("View", "Time", "--failed", "Filters"),
        ((each.name, each.time, "yes" if each.failed else "-", ", ".join(each.filters)) for each in listings),
    )


def _tell(listing: Listing, answer: Answer) -> None:
    """A table, and how to go on."""
    columns = [name for name in listing.row.__struct_fields__ if name != "project"]
    output.table([name.replace("_", " ") for name in columns], _cells(columns, answer.rows))
    if answer.next:
        output.note(f"there is more: --after {answer.next}")


def _cells(columns: Sequence[str], rows: Iterable[Any]) -> Iterable[Sequence[object]]:
    return ([_cell(getattr(row, name)) for name in columns] for row in rows)


def _cell(value: Any) -> object:
    if isinstance(value, datetime):
        return format_time(value)
    if value is None or isinstance(value, str | int | float | date):
        return value
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return msgspec.json.encode(value).decode()
