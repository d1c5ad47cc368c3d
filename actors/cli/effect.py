"""Effects that have not ended, and what a human is asked about some of them: was it done?"""

from typing import Annotated, get_args

import msgspec
from cyclopts import App, Parameter

from actors.cli import output
from actors.cli.client import Unreachable
from actors.cli.desk import open_asker
from actors.cli.exits import Exit, Stop
from actors.cli.opening import AsSealed, opener_of
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import Settings, reader
from actors.runtime.effects import LOOK_BELL
from actors.runtime.turn import plain
from eventstore.effects import Answer, OpenEffect
from eventstore.store import Recorded
from protocol.envelope import format_time
from protocol.subjects import effect_subject

NOTE_SHOWN_MAX = 100  # Characters of it in a table.
_OPEN = {"": "waiting", "again": "waiting", "withdrawn": "cancelled", "done": "settled", "failed": "settled"}

app = App(name="effect", help="Effects that have not ended: look at them, answer what only a human can know.")


class EffectAnswer(msgspec.Struct, frozen=True):
    """A row of `list --json`. `status`: waiting, running, cancelled or settled (about to end), or unknown: `note` is
    then what a human is asked about. `attempts` were begun."""

    key: str
    actor: str
    effect: str
    safety: str
    status: str
    attempts: int
    wanted_at: str
    correlation: str
    note: str


class ShowAnswer(msgspec.Struct, frozen=True):
    """What `show --json` prints; `work` as it is in the store, or opened."""

    effect: EffectAnswer
    work: msgspec.Raw


class SettleAnswer(msgspec.Struct, frozen=True):
    """What `settle --json` prints. `heard`: a running company was told at once."""

    key: str
    outcome: str
    heard: bool


@app.command(name="list")
def list_(
    *,
    every: Annotated[bool, Parameter(name="--all", negative=(), help="Also those that wait or run.")] = False,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """List the project's effects of which nobody can say whether they were done. Works without a running company."""
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            rows = [_row(found) for found in await store.effects.listed(settings.project, not every)]
        if as_json:
            output.data(rows)
            return Exit.OK
        shown = [(r.key, r.effect, r.safety, r.status, r.attempts, r.wanted_at, _cut(r.note)) for r in rows]
        output.table(("Key", "Effect", "Safety", "Status", "Attempts", "Wanted at", "Note"), shown)
        if rows and not every:
            output.note("Find out what became of each, then `troupe effect settle KEY --outcome done|again|failed`.")
        return Exit.OK

    return execute(work)


@app.command
def show(key: str, *, sealed: AsSealed = False, as_json: AsJson = False, place: Place = HERE) -> int:
    """Show an effect that has not ended, with its work. Works without a running company.

    Parameters
    ----------
    key
        The effect, as `troupe effect list` names it.
    """
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            found = await store.effects.find(settings.project, key)
            if found is None:
                raise _ended(settings, key)
            opener = opener_of(settings, store, sealed)
            row = Recorded(1, found.address, 1, found.effect_kind, found.at, found.correlation, found.key, found.body)
            (opened,) = await opener.events([row])
        answer = ShowAnswer(_row(found), msgspec.Raw(opened.body))
        output.data(answer) if as_json else _tell(answer)
        return opener.ended()

    return execute(work)


@app.command
def settle(
    key: str,
    *,
    outcome: Annotated[str, Parameter(help="done, failed, or again: to have it performed once more.")],
    note: Annotated[str, Parameter(help="What was found out; the actor is told so, with done and failed.")] = "",
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Answer what only a human can know: whether an effect that may happen once was done.

    Works while the company runs and when it does not: the actor hears the outcome once somebody runs who performs
    effects of that kind.

    Parameters
    ----------
    key
        The effect, as `troupe effect list` names it.
    """
    settings = place.settings()
    answers: dict[str, Answer] = {answer: answer for answer in get_args(Answer)}
    if outcome not in answers:
        raise Stop(Exit.USAGE, f"--outcome {outcome!r}: say {', '.join(answers)}")
    words = plain(f"an operator says: {note or outcome}")

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            kind = await store.effects.settle(settings.project, key, answers[outcome], words)
            if kind is None:
                found = await store.effects.find(settings.project, key)
                if found is None:
                    raise _ended(settings, key)
                raise Stop(Exit.FAILURE, f"nobody is asked about {key}: it is {_row(found).status}")
        heard = await _rung(settings, kind)
        answer = SettleAnswer(key, outcome, heard)
        output.data(answer) if as_json else output.say(f"{key} is settled: {outcome}")
        if not heard:
            output.note("troupe: no company was reached: the effect ends when one runs")
        return Exit.OK

    return execute(work)


async def _rung(settings: Settings, kind: str) -> bool:
    """Have whoever performs such effects look at once; they would see it before long anyway."""
    try:
        async with open_asker(settings) as asker:
            for bell in (kind, LOOK_BELL):
                await asker.publish(effect_subject(bell, asker.root), b"")
    except (Stop, Unreachable):
        return False
    return True


def _row(found: OpenEffect) -> EffectAnswer:
    status = "running" if found.claimed and not found.state else _OPEN.get(found.state, found.state)
    return EffectAnswer(
        found.key, f"{found.address.kind}/{found.address.name}", found.effect_kind, found.safety, status,
        found.attempts, format_time(found.at), found.correlation, found.note,
    )  # fmt: skip


def _ended(settings: Settings, key: str) -> Stop:
    return Stop(
        Exit.NOT_FOUND,
        f"no effect {key!r} is open in the project {settings.project}: it has ended, or was never wanted; "
        "`troupe effect list --all` shows those that are",
    )


def _cut(note: str) -> str:
    return note if len(note) <= NOTE_SHOWN_MAX else note[: NOTE_SHOWN_MAX - 1] + "…"


def _tell(answer: ShowAnswer) -> None:
    found = answer.effect
    output.say(f"{found.key}: {found.effect} for {found.actor}, {found.safety}, wanted at {found.wanted_at}")
    output.say(f"{found.status}, {found.attempts} attempts{f': {found.note}' if found.note else ''}")
    output.say(bytes(answer.work).decode("utf-8", "replace"))
