"""Before a deploy: what the code that is installed here would make of the histories that are stored there."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from actors import casting
from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import reader
from actors.roles.playbook import load_playbooks
from actors.runtime.upgrade import Checked, Divergence, UpgradeCheck, Works
from actors.services.tools.catalogue import CATALOGUE
from protocol.router import CompletionWork
from protocol.tools import ToolWork

app = App(name="upgrade", help="Check, before a deploy, that this version goes on with the stored histories.")

# The work that this version's performers understand, by kind of effect.
WORKS: Works = {"tool": ToolWork, "completion": CompletionWork}


class Diverging(msgspec.Struct, frozen=True):
    """One actor in `check --json`. `version` 0: it is about what is under way."""

    actor: str
    version: int
    what: str
    expected: str
    now: str


class CheckAnswer(msgspec.Struct, frozen=True):
    """What `check --json` prints. `diverging_unnamed`: how many more there are."""

    actors: int
    events: int
    commands_decided: int
    commands_not_kept: int
    commands_retired: int
    pending: int
    diverging: list[Diverging]
    diverging_unnamed: int


@app.command
def check(
    *,
    kind: str = "",
    sample: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Live every stored history again with this version's code; exit code 5 when an actor would diverge.

    Run it with the new version against the log of the running one, which it does not disturb. Each actor that would
    diverge is named with the first event, or the pending work, that would differ.

    Parameters
    ----------
    kind
        Only actors of this kind.
    sample
        Only so many actors of each kind, the same ones each time; commands of others are then not checked.
    """
    settings = place.settings()

    async def work() -> int:
        kinds = casting.kinds(load_playbooks(tools=CATALOGUE.keys()))
        if kind and kind not in kinds:
            raise Stop(
                Exit.USAGE, f"there is no kind {kind!r} in this version; the kinds are {', '.join(sorted(kinds))}"
            )
        async with reader(settings, views=False) as (log, _):
            checked = await UpgradeCheck(log, kinds, WORKS, kind, sample).run()
        diverging = sorted(checked.diverging.values(), key=lambda found: found.address)
        output.data(_answer(checked, diverging)) if as_json else _tell(checked, diverging)
        return Exit.DIVERGENCE if diverging else Exit.OK

    return execute(work)


def _answer(checked: Checked, diverging: list[Divergence]) -> CheckAnswer:
    named = [Diverging(str(d.address), d.version, d.what, d.expected, d.now) for d in diverging]
    return CheckAnswer(
        checked.actors, checked.events, checked.decided, checked.unkept, checked.retired, checked.pending, named,
        checked.unnamed,
    )  # fmt: skip


def _tell(checked: Checked, diverging: list[Divergence]) -> None:
    for found in diverging:
        where = f"version {found.version}" if found.version else "under way"
        output.say(f"{found.address}  {where}  {found.what}: expected {found.expected}; now {found.now}")
    if checked.unnamed:
        output.say(f"and {checked.unnamed} more actors")
    output.note(
        f"{checked.actors} actors with {checked.events} events; {checked.decided} commands decided again, "
        f"{checked.unkept} not checked (their bytes are not kept), {checked.retired} not checked (decided no more); "
        f"{checked.pending} pieces of pending work. "
        + (f"{len(diverging) + checked.unnamed} actors would diverge." if diverging else "Nothing would diverge.")
    )
