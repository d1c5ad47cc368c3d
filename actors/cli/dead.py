"""What broke: commands that were quarantined, the actors they broke, and what waits for those."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from actors.cli import output
from actors.cli.client import Unreachable
from actors.cli.desk import open_asker
from actors.cli.exits import Exit, Stop
from actors.cli.opening import AsSealed, Opener, opener_of
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import Settings, reader
from actors.runtime.ownership import WORKERS_BELL
from eventstore.dead import DeadLetter, ParkedActor
from eventstore.store import EventStore, Recorded
from protocol.envelope import format_time
from protocol.personal import is_person
from protocol.subjects import Address, BadSubject, check_address, effect_subject

LIST_MAX = 100
SHOWN_MAX = 20  # Commands that `show` names in words; JSON has up to a page.
REASON_SHOWN_MAX = 100  # Characters of it in a table.
BODY_SHOWN_MAX = 2_000  # Characters of a command's body in words.

app = App(name="dead", help="Commands that broke their actor: look at them, retry or drop them.")


class ParkedAnswer(msgspec.Struct, frozen=True):
    """A row of `list --json`: an actor that waits. `commands` came from outside since, `sends` from other actors."""

    actor: str
    since: str
    command: str
    error: str
    commands: int
    sends: int


class LetterAnswer(msgspec.Struct, frozen=True):
    """A row of `list --all --json`: a command that broke its actor, whatever became of that."""

    position: int
    actor: str
    at: str
    command: str
    type: str
    error: str
    parked: bool


class CommandAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command of `show --json`. `killer`: it broke the actor; `body` as it is in the store, or opened."""

    command: str
    type: str
    at: str
    body: msgspec.Raw
    killer: bool = False
    expired: bool = False


class ShowAnswer(msgspec.Struct, frozen=True):
    """What `show --json` prints; the first of `waiting` broke the actor."""

    parked: ParkedAnswer
    waiting: list[CommandAnswer]


class ReleaseAnswer(msgspec.Struct, frozen=True):
    """What `retry --json` and `drop --json` print. `event` says it in the log; `sent` commands are decided now,
    `expired` ones are not, since their deadlines have passed."""

    actor: str
    event: str
    position: int
    sent: int
    expired: int


By = Annotated[str, Parameter(help="Who wants it so, as a pseudonymous id; the event in the log names it.")]


@app.command(name="list")
def list_(
    *,
    kind: str | None = None,
    every: Annotated[bool, Parameter(name="--all", negative=(), help="Every one there ever was, the latest first.")] = (
        False
    ),
    limit: int = LIST_MAX,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """List the project's parked actors and what broke them. Works without a running company.

    Parameters
    ----------
    kind
        Only actors of that kind.
    limit
        At most that many.
    """
    if limit < 1:
        raise Stop(Exit.USAGE, f"--limit {limit}: ask for 1 or more")
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            if every:
                letters = await store.dead.letters(settings.project, kind, limit=limit)
                rows = [await _letter(store, letter) for letter in letters]
                shown = [(r.position, r.actor, r.command, r.type, r.at, r.parked, _cut(r.error)) for r in rows]
                headers = ("Position", "Actor", "Command", "Type", "At", "Parked", "Error")
            else:
                rows = [_parked(found) for found in await store.dead.parked(settings.project, kind, limit=limit)]
                shown = [(r.actor, r.command, r.since, r.commands, r.sends, _cut(r.error)) for r in rows]
                headers = ("Actor", "Broken by", "Since", "Commands", "Sends", "Error")
        output.data(rows) if as_json else output.table(headers, shown)
        return Exit.OK

    return execute(work)


@app.command
def show(actor: str, *, sealed: AsSealed = False, as_json: AsJson = False, place: Place = HERE) -> int:
    """Show what broke a parked actor, and what waits for it. Works without a running company.

    Parameters
    ----------
    actor
        The actor, as `troupe dead list` names it: <kind>/<id>.
    """
    settings = place.settings()
    address = _address(settings, actor)

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            found = await store.dead.parked_actor(address)
            if found is None:
                raise _not_parked(address)
            opener = opener_of(settings, store, sealed)
            answer = ShowAnswer(_parked(found), await _waiting(store, opener, address))
        output.data(answer) if as_json else _tell(answer)
        return opener.ended()

    return execute(work)


@app.command
def retry(actor: str, *, late: bool = False, by: By = "", as_json: AsJson = False, place: Place = HERE) -> int:
    """Have a parked actor go on: what broke it is decided again first, then all that waits for it, in order.

    Do it once what broke is mended. Works while the company runs and when it does not; an event says that it was done.

    Parameters
    ----------
    actor
        The actor, as `troupe dead list` names it: <kind>/<id>.
    late
        Also decide commands whose deadline has passed; without it they are left out.
    """
    return _release(actor, place.settings(), True, late, by, as_json)


@app.command
def drop(actor: str, *, late: bool = False, by: By = "", as_json: AsJson = False, place: Place = HERE) -> int:
    """Have a parked actor go on without what broke it, which stays quarantined; what waits is decided, in order.

    Works while the company runs and when it does not; an event says that it was done.

    Parameters
    ----------
    actor
        The actor, as `troupe dead list` names it: <kind>/<id>.
    late
        Also decide commands whose deadline has passed; without it they are left out.
    """
    return _release(actor, place.settings(), False, late, by, as_json)


def _release(actor: str, settings: Settings, again: bool, late: bool, by: str, as_json: bool) -> int:
    address = _address(settings, actor)
    if by and not is_person(by):
        raise Stop(Exit.USAGE, f"--by {by!r} is no pseudonymous id: use letters, digits, '_' and '-'")

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            released = await (store.dead.retry if again else store.dead.drop)(address, late, by)
        if released is None:
            raise _not_parked(address)
        heard = await _rung(settings)
        answer = ReleaseAnswer(_name(address), released.reference, released.position, released.sent, released.expired)
        output.data(answer) if as_json else _say_released(answer)
        if not heard:
            output.note("troupe: no company was reached: what waits is decided when one runs")
        return Exit.OK

    return execute(work)


async def _rung(settings: Settings) -> bool:
    """Have whoever owns the partition look at once. Without this word the next renewal of its lease tells it."""
    try:
        async with open_asker(settings) as asker:
            await asker.publish(effect_subject(WORKERS_BELL, asker.root), b"")
    except (Stop, Unreachable):
        return False
    return True


async def _waiting(store: EventStore, opener: Opener, address: Address) -> list[CommandAnswer]:
    kept = await store.dead.kept(address)
    rows = [
        Recorded(
            k.number, address, 1, k.command.type, k.command.at, k.command.correlation, k.command.id, k.command.body
        )
        for k in kept
    ]
    return [
        CommandAnswer(
            k.command.id, k.command.type, format_time(k.command.at), msgspec.Raw(row.body), k.killer, k.expired
        )
        for k, row in zip(kept, await opener.events(rows), strict=True)
    ]


async def _letter(store: EventStore, letter: DeadLetter) -> LetterAnswer:
    """It keeps its actor parked if that waits for an operator because of this very command."""
    parked = await store.dead.parked_actor(letter.address)
    return LetterAnswer(
        letter.position, _name(letter.address), format_time(letter.at), letter.id, letter.type, letter.error,
        parked is not None and parked.killer == letter.id,
    )  # fmt: skip


def _address(settings: Settings, actor: str) -> Address:
    kind, _, name = actor.partition("/")
    try:
        return check_address(Address(settings.project, kind, name))
    except BadSubject as error:
        raise Stop(Exit.USAGE, f"{actor!r} names no actor ({error}): write <kind>/<id>") from error


def _name(address: Address) -> str:
    return f"{address.kind}/{address.name}"


def _not_parked(address: Address) -> Stop:
    return Stop(
        Exit.NOT_FOUND,
        f"{_name(address)} is not parked in the project {address.project}: `troupe dead list` shows who is",
    )


def _parked(found: ParkedActor) -> ParkedAnswer:
    return ParkedAnswer(
        _name(found.address), format_time(found.at), found.killer, found.reason, found.commands, found.sends
    )


def _cut(error: str) -> str:
    return error if len(error) <= REASON_SHOWN_MAX else error[: REASON_SHOWN_MAX - 1] + "…"


def _tell(answer: ShowAnswer) -> None:
    parked = answer.parked
    output.say(f"{parked.actor} is parked since {parked.since}")
    output.say(f"broken by {parked.command}: {parked.error}")
    output.say(f"waiting: {parked.commands} commands from outside, {parked.sends} sends of other actors")
    for command in answer.waiting[:SHOWN_MAX]:
        said = "broke it" if command.killer else "waits"
        body = bytes(command.body).decode("utf-8", "replace")
        output.say()
        output.say(f"{command.command} ({command.type}, {command.at}) {said}{', expired' if command.expired else ''}")
        output.say(f"  {body if len(body) <= BODY_SHOWN_MAX else body[: BODY_SHOWN_MAX - 1] + '…'}")
    if len(answer.waiting) > SHOWN_MAX:
        output.say()
        output.say(f"and {len(answer.waiting) - SHOWN_MAX} more: see them with --json")


def _say_released(answer: ReleaseAnswer) -> None:
    output.say(f"{answer.actor} goes on ({answer.event}): {answer.sent} commands are decided now")
    if answer.expired:
        output.say(f"{answer.expired} commands have expired and are left out; --late would have them decided as well")
