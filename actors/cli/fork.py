"""Forks of the log: any moment of the company as a log of its own, to be looked at, run on and changed."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

from anyio import to_thread
from cyclopts import App, Parameter

from actors import casting
from actors.cli import output
from actors.cli.compare import WHOLE, Span, compare
from actors.cli.desk import state_folder
from actors.cli.dev import in_foreground
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, THINKING, AsJson, ModelChoice, Place
from actors.cli.running import execute
from actors.embedded.errors import EmbeddedError
from actors.embedded.folder import StateFolder
from actors.embedded.use import use_servers
from actors.host import Settings, reader
from actors.roles.playbook import load_playbooks
from actors.runtime.mirrored import Trimming
from actors.runtime.nats_bus import FORK_STREAM_BYTES_MAX, NatsBus, root_of
from actors.runtime.nats_mirror import NatsEvents
from actors.runtime.nats_taps import remove_taps
from actors.runtime.ports import BusUnavailable
from actors.runtime.reenact import CannotReenact, Reenacted, reenact
from actors.runtime.replays import forget_consumers
from actors.services.tools.catalogue import CATALOGUE
from eventstore.forking import Fork
from eventstore.store import NoSuchLog, StoreError, StoreUnavailable
from protocol.envelope import format_time

app = App(
    name="fork", help="Make a fork of the log at any position, or decide its commands again; list forks, drop one."
)


@app.default
def fork(
    *,
    position: Annotated[int | None, Parameter(name="--at")] = None,
    name: str | None = None,
    live_effects: bool = False,
    opened: Annotated[bool, Parameter(name="--open", negative=())] = False,
    compared: Annotated[bool, Parameter(name="--compare", negative=())] = False,
    span: Span = WHOLE,
    as_json: AsJson = False,
    place: Place = HERE,
    thinking: ModelChoice = THINKING,
) -> int:
    """Make a log of its own of everything up to a position, with what was under way then.

    A company on the fork (--open, or `troupe dev --schema NAME`) goes on from there: effects are answered with what
    they came to in the original, and nothing in the world is touched. The original is not changed, and may run.

    With --compare nothing is made: the commands of the log are decided again with the code that is installed here, and
    each decision that differs is named; exit code 5 when one does.

    Parameters
    ----------
    position
        The last position that is in the fork. With --compare: the same as --from the next one.
    name
        What it is called: lower-case letters, digits and _ (default: from the log and the position).
    live_effects
        Perform what nothing is recorded for: it may cost money and touch files, as in any company.
    opened
        Run the company on the fork until Ctrl-C; the fork is made if it is not there.
    compared
        Decide commands again instead: those of --from to --to, --since to --until, of --kind.
    """
    settings = place.settings(thinking)
    if compared:
        if opened or name or live_effects:
            raise Stop(Exit.USAGE, "--compare makes no fork: leave --open, --name and --live-effects away")
        return compare(settings, span, position, as_json)
    if position is None or span != WHOLE:
        raise Stop(Exit.USAGE, "say where to fork with --at POSITION; a range and a --kind are for --compare")
    called = name or f"{settings.schema}_at_{position}"

    async def work() -> int:
        await _make(settings, position, called, live_effects, as_json, opened)
        return await in_foreground(replace(settings, schema=called)) if opened else Exit.OK

    return execute(work)


async def _make(settings: Settings, position: int, called: str, live: bool, as_json: bool, again: bool) -> None:
    """Make that fork and say so. `again`: one that is there and is the same will do."""
    kinds = casting.kinds(load_playbooks(tools=CATALOGUE.keys()))
    async with reader(settings, views=False) as (log, _):
        for there in await log.forks.listed() if again else ():
            if (there.name, there.origin, there.position, there.live) == (called, settings.schema, position, live):
                output.note(f"{called} is there already, and is taken as it is.")
                return
        with _refusals(Exit.USAGE):
            async with log.forks.creating(position, called, live) as draft:
                reenacted = await reenact(draft, kinds)
    if live:
        await to_thread.run_sync(_copy_workspaces, settings, called)
    output.data(_row(draft.fork)) if as_json else _tell(draft.fork, reenacted)


@app.command(name="list")
def list_(*, as_json: AsJson = False, place: Place = HERE) -> int:
    """List the forks, by name."""
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            forks = await log.forks.listed()
        if as_json:
            output.data([_row(each) for each in forks])
            return Exit.OK
        for each in forks:
            effects = "live effects" if each.live else "recorded effects"
            run = "not run yet" if each.resumed_at is None else f"run since {format_time(each.resumed_at)}"
            output.say(f"{each.name}  {each.origin} at {each.position} ({format_time(each.at)})  {effects}, {run}")
        if not forks:
            output.note("There is no fork. Make one with `troupe fork --at POSITION`.")
        return Exit.OK

    return execute(work)


@app.command
def drop(name: str, /, *, place: Place = HERE) -> int:
    """Remove a fork and all that is in its log. The original and other forks stay.

    Parameters
    ----------
    name
        The fork.
    """
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            with _refusals(Exit.FAILURE):
                await log.forks.drop(name)
        try:
            await _forget_road(settings, name)
        except (BusUnavailable, EmbeddedError) as error:
            output.note(f"the stream of its commands could not be removed: {error}")
        await to_thread.run_sync(shutil.rmtree, _folder(settings, name).workspaces)
        output.note(f"dropped {name}")
        return Exit.OK

    return execute(work)


def _folder(settings: Settings, name: str) -> StateFolder:
    """What belongs to the company on that fork."""
    return StateFolder.open(settings.state).of(name)


def _copy_workspaces(settings: Settings, name: str) -> None:
    """Tools that are run in the fork work on checkouts of its own."""
    shutil.copytree(
        state_folder(settings).workspaces, _folder(settings, name).workspaces, symlinks=True, dirs_exist_ok=True
    )


async def _forget_road(settings: Settings, name: str) -> None:
    """Remove the streams that held the commands for a company on that fork, its taps and the mirror of its log: the
    server sets room aside for them."""
    async with use_servers(state_folder(settings), () if settings.nats_url else ("nats",)) as servers:
        url = settings.nats_url or servers.nats_url
        async with NatsBus.open(url, servers.nats_token, root_of(name), FORK_STREAM_BYTES_MAX, anew=True) as bus:
            await bus.remove_stream()
            await remove_taps(bus)
            await forget_consumers(bus.client, bus.root)
        trimming = Trimming(settings.mirror.age_s, settings.mirror.bytes_max)
        to = (settings.mirror.nats_url, "") if settings.mirror.nats_url else (url, servers.nats_token)
        async with NatsEvents.open(*to, root_of(name), trimming) as events:
            await events.remove()


@contextmanager
def _refusals(code: Exit) -> Generator[None]:
    """What the store will not do ends the command with `code`; what it cannot do now is left to others."""
    try:
        yield
    except StoreUnavailable:
        raise
    except NoSuchLog as error:
        raise Stop(Exit.NOT_FOUND, str(error)) from error
    except StoreError as error:
        raise Stop(code, str(error)) from error
    except CannotReenact as error:
        raise Stop(Exit.FAILURE, f"nothing was forked: {error}") from error


def _row(each: Fork) -> dict[str, object]:
    return {
        "name": each.name,
        "origin": each.origin,
        "position": each.position,
        "at": format_time(each.at),
        "live": each.live,
        "created_at": format_time(each.created_at),
        "resumed_at": None if each.resumed_at is None else format_time(each.resumed_at),
    }


def _tell(made: Fork, again: Reenacted) -> None:
    output.say(made.name)
    output.note(
        f"{made.origin} at {made.position}, {format_time(made.at)}: {again.events} events of {again.actors} actors. "
        f"Look at it with `troupe replay --schema {made.name}`, run it on with `troupe dev --schema {made.name}`, "
        f"remove it with `troupe fork drop {made.name}`."
    )
    if again.cut:
        output.note(
            f"Position {made.position} lies between the events of one command ({again.cut}): what the later ones would "
            "have begun never begins in this fork. Choose a position a little before or after to have it whole."
        )
    for stream in again.unread:
        output.note(f"The later events of {stream} cannot be read by this version: nothing of them answers effects.")
