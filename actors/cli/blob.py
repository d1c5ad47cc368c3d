"""Blobs: what the log's big content takes, and taking away what nobody names."""

import re
from typing import Annotated

from cyclopts import App, Parameter

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import reader
from eventstore.blobs import GRACE_S, GRACE_S_MIN

DAY_S = 86_400.0
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": DAY_S}
_SPAN = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smhd])")
GRACE = f"{GRACE_S / DAY_S:g}d"

app = App(name="blob", help="Look after the log's big content.")


@app.command
def stat(*, as_json: AsJson = False, place: Place = HERE) -> int:
    """Show how many blobs the project has, and their bytes. Works without a running company."""
    settings = place.settings()

    async def work() -> int:
        blobs = size = 0
        async with reader(settings, views=False) as (log, _):
            async for blob in log.blobs.each(settings.project):
                blobs, size = blobs + 1, size + blob.size
        if as_json:
            output.data({"project": settings.project, "blobs": blobs, "bytes": size})
        else:
            output.table(("Project", "Blobs", "Bytes"), [(settings.project, blobs, size)])
        return Exit.OK

    return execute(work)


@app.command
def collect(
    *,
    grace: Annotated[str, Parameter(help="How long what nobody names is kept: 7d, 36h, 90m.")] = GRACE,
    dry_run: bool = False,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Take away the blobs of all projects that nothing in the log names. A running company does so once a day.

    Whatever an event, a command, a send, a timer, an effect, a snapshot or another blob names is kept, however old it
    is. The company may go on meanwhile.

    Parameters
    ----------
    dry_run
        Take nothing away, only count what would go first.
    """
    grace_s, settings = _seconds(grace), place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            swept = await log.blobs.collect(grace_s, dry_run)
        if as_json:
            output.data(swept)
        else:
            done = "that would be taken away" if dry_run else "taken away"
            output.say(f"blobs {done}: {swept.blobs} ({swept.size} bytes); unfinished uploads: {swept.uploads}")
        if not swept.complete:
            output.note("troupe: the log is written faster than it can be searched: the rest goes another time")
        return Exit.OK

    return execute(work)


def _seconds(span: str) -> float:
    found = _SPAN.fullmatch(span)
    if found is None:
        raise Stop(Exit.USAGE, f"--grace {span!r}: write a number and its unit, such as 7d, 36h or 90m")
    seconds = float(found[1]) * _UNITS_S[found[2]]
    if seconds < GRACE_S_MIN:
        raise Stop(
            Exit.USAGE, f"--grace {span}: writers need at least {GRACE_S_MIN / 3600:g}h to name what they stored"
        )
    return seconds
