"""The views: where each stands, building one anew, and whether it is what the log says."""

import time

import msgspec
from cyclopts import App

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import reader
from eventstore.postgres.store import PostgresStore
from projections.answers import StandingRow
from projections.quarantine import quarantined
from projections.queries import VIEWS
from projections.ranges import in_ranges
from projections.rebuild import rebuild as built_anew
from projections.verify import Difference, Verified, verify_view
from projections.view import View
from protocol.envelope import format_time

SHOWN_MAX = 20  # Differences in words; JSON has all that are named.
VALUE_SHOWN_MAX = 120  # Characters of one value.

app = App(name="projection", help="The views of the log: where they stand, build one anew, verify them.")


class RebuiltAnswer(msgspec.Struct, frozen=True):
    """A line of `rebuild --json`."""

    view: str
    version: int
    position: int
    seconds: float


@app.command(name="list")
def list_(*, as_json: AsJson = False, place: Place = HERE) -> int:
    """List the views: version, position, lag, streams left out, last verification. Works without a running company."""
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (_, queries):
            rows = await queries.standing()
        output.data(rows) if as_json else _tell(rows)
        return Exit.OK

    return execute(work)


@app.command
def rebuild(*names: str, ranges: int = 0, as_json: AsJson = False, place: Place = HERE) -> int:
    """Fold views anew from the beginning, beside what is served, and swap them in when they have caught up.

    Readers go on meanwhile, and so may the company. Streams that were left out are tried again.

    Parameters
    ----------
    names
        The views (default: all).
    ranges
        Fold so many parts of the log side by side, where a view allows it (default: as many as there are cores).
    """
    chosen = _views(names)
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            build = in_ranges(log, ranges, 1) if ranges > 1 else in_ranges(log) if ranges == 0 else None
            for view in chosen:
                begun = time.monotonic()
                position = await built_anew(log, log.pool, view, build)
                answer = RebuiltAnswer(view.name, view.version, position, round(time.monotonic() - begun, 3))
                text = f"{view.name} version {view.version}: {position} events in {answer.seconds:.1f} s"
                output.data(answer) if as_json else output.say(text)
                await _tell_left_out(log, view)
        return Exit.OK

    return execute(work)


@app.command
def verify(*names: str, as_json: AsJson = False, place: Place = HERE) -> int:
    """Fold views aside and compare them with what is served; exit code 5 names view, row and position that differ.

    Parameters
    ----------
    names
        The views (default: all).
    """
    chosen = _views(names)
    settings = place.settings()

    async def work() -> int:
        wrong = 0
        async with reader(settings, views=False) as (log, _):
            for view in chosen:
                verified = await verify_view(log, log.pool, view)
                wrong += verified.differing
                output.data(verified) if as_json else _tell_verified(verified)
        if wrong:
            raise Stop(
                Exit.DIVERGENCE,
                f"{wrong} rows are not what the log says: see above; `troupe projection rebuild` folds them anew",
            )
        return Exit.OK

    return execute(work)


def _views(names: tuple[str, ...]) -> list[View]:
    known = {view.name: view for view in VIEWS}
    for name in names:
        if name not in known:
            raise Stop(Exit.NOT_FOUND, f"there is no view {name!r}; the views are {', '.join(sorted(known))}")
    return [known[name] for name in names] if names else list(VIEWS)


def _tell(rows: list[StandingRow]) -> None:
    output.table(
        ("View", "Version", "Position", "Behind", "Seconds", "Left out", "Verified"),
        (
            (row.name, row.version, row.position, row.lag_events, f"{row.lag_s:.1f}", row.quarantined, _verified(row))
            for row in rows
        ),
    )
    if not rows:
        output.note("There are no views yet: start the company once, it builds them.")


def _verified(row: StandingRow) -> str:
    if row.verified_at is None:
        return "never"
    what = "equal to the fold" if not row.verified_differences else f"{row.verified_differences} rows differ"
    return f"{format_time(row.verified_at)} up to {row.verified_position}: {what}"


def _tell_verified(verified: Verified) -> None:
    what = "equal to the fold" if not verified.differing else f"{verified.differing} rows differ"
    output.say(
        f"{verified.view} version {verified.version}: {verified.rows} rows up to position {verified.position}: {what}"
    )
    for difference in verified.differences[:SHOWN_MAX]:
        output.say(f"  {_difference(difference)}")


def _difference(found: Difference) -> str:
    key = " ".join(f"{name}={value}" for name, value in found.key.items())
    where = f"position {found.position}, {found.view}, {found.table} {key}"
    if found.served is None or found.folded is None:
        return f"{where}: {'is not there' if found.served is None else 'should not be there'}"
    served, folded = found.served, found.folded
    changed = [name for name in folded if served.get(name) != folded[name]]
    return f"{where}: " + "; ".join(
        f"{n} is {_shown(served.get(n))}, the log says {_shown(folded[n])}" for n in changed
    )


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_SHOWN_MAX else text[: VALUE_SHOWN_MAX - 1] + "…"


async def _tell_left_out(log: PostgresStore, view: View) -> None:
    for one in await quarantined(log.pool, view.name):
        output.note(
            f"{view.name} leaves out {one.kind}/{one.name} of {one.project} from position {one.first_position} on "
            f"({one.events} events): {one.reason}"
        )
