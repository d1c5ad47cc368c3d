"""Data subjects: forget one, list their keys, put the keys under a new master key."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from actors.cli import output
from actors.cli.client import NoReply, Unreachable
from actors.cli.desk import open_asker
from actors.cli.exits import Exit, Stop
from actors.cli.opening import master_files
from actors.cli.options import HERE, AsJson, Place
from actors.cli.purging import purge
from actors.cli.running import execute
from actors.host import Settings, reader
from actors.keyrings import VARIABLE, MasterFiles, make_master
from eventstore.keyring import Keyring
from eventstore.store import EventStore
from eventstore.subject_keys import KEYS_MAX, Forgotten, SubjectKey
from protocol.envelope import format_time
from protocol.personal import is_person

app = App(name="subject", help="The people whom personal text is about: forget one, list their keys.")


class ForgetAnswer(msgspec.Struct, frozen=True):
    """What `forget --json` prints. `position` is that of the event (0: it had been forgotten before); `purged` says
    whether COMMANDS is known to hold no copy any more."""

    forgotten_at: str
    position: int
    purged: bool


class KeyAnswer(msgspec.Struct, frozen=True):
    """A row of `list --json`."""

    key: str
    master: str
    created_at: str
    forgotten_at: str | None


@app.command
def forget(
    *,
    person: str = "",
    key: str = "",
    yes: bool = False,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Destroy a person's key: what was sealed under it is unreadable for good, in the log, its views and its blobs.

    Works while the company runs and when it does not. An event says that a subject was forgotten, not who. What was
    exported (reports, printed text) and the wrapped key in backups of the database are beyond its reach: see
    `troupe subject rewrap`.

    Parameters
    ----------
    person
        The pseudonymous id that commands named (`troupe task submit --person`).
    key
        The key's id instead, as `troupe subject list` shows it; needs no master key.
    yes
        Do not ask.
    """
    if bool(person) == bool(key):
        raise Stop(Exit.USAGE, "say whom to forget with either --person or --key")
    if person and not is_person(person):
        raise Stop(Exit.USAGE, f"{person!r} is no pseudonymous id: use the one that commands named")
    settings = place.settings()
    whom = f"the person {person}" if person else f"the subject of the key {key}"
    if not yes:
        _confirm(f"Forget {whom} in the project {settings.project}? This cannot be undone.")

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            done = await _forget(settings, store, person, key)
        if done is None:
            raise Stop(Exit.NOT_FOUND, f"{whom} is not known in the project {settings.project}: nothing was sealed")
        purged = await _purged(settings)
        answer = ForgetAnswer(format_time(done.at), done.position, purged)
        output.data(answer) if as_json else _tell(answer)
        return Exit.OK

    return execute(work)


@app.command(name="list")
def list_(*, limit: int = KEYS_MAX, as_json: AsJson = False, place: Place = HERE) -> int:
    """List the project's subjects' keys, the newest first. Whose they are is not stored.

    Parameters
    ----------
    limit
        At most that many.
    """
    if limit < 1:
        raise Stop(Exit.USAGE, f"--limit {limit}: ask for 1 key or more")
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            rows = [_answer(key) for key in await store.keys.listed(settings.project, limit)]
        if as_json:
            output.data(rows)
        else:
            shown = ((row.key, row.created_at, row.forgotten_at, row.master) for row in rows)
            output.table(("Key", "Created", "Forgotten", "Master key"), shown)
        return Exit.OK

    return execute(work)


@app.command
def rewrap(
    *,
    to: Annotated[Path | None, Parameter(name="--to")] = None,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Put every subject key, of all projects, under a new master key. Works while the company runs.

    Afterwards nothing but the new master key file opens anything: copies of wrapped keys in older backups are worth
    nothing once the old file is destroyed, those of forgotten subjects included. Cut off, the same command goes on.

    Parameters
    ----------
    to
        The new master key file, made if it is not there. Only where TROUPE_MASTER_KEY names the file; that of the state
        folder is replaced.
    """
    settings = place.settings()
    files = master_files(settings)
    if bool(files.named) != (to is not None):
        why = (
            f"{VARIABLE} names the file: say where the new one goes" if files.named else "the state folder has its own"
        )
        raise Stop(Exit.USAGE, f"--to is for a company whose {VARIABLE} is set: {why}")

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            written = await _rewrap(files, to, store)
        if to is not None:
            output.note(f"set {VARIABLE}={to} for every process, then destroy the old file")
        output.data({"keys": written}) if as_json else output.say(f"{written} keys are under the new master key")
        return Exit.OK

    return execute(work)


@app.command
def abandon(*, yes: bool = False, as_json: AsJson = False, place: Place = HERE) -> int:
    """Forget everybody, in all projects, and give the master key up: for one that is lost for good.

    Without the master key all sealed text is unreadable anyway, and no company starts. After this the next start makes
    a new one.

    Parameters
    ----------
    yes
        Do not ask.
    """
    settings = place.settings()
    if not yes:
        _confirm("Forget everybody, in all projects, for good?")

    async def work() -> int:
        async with reader(settings, views=False) as (store, _):
            forgotten = await Keyring(store.keys, tuple).abandon(datetime.now(UTC))
        output.data({"forgotten": forgotten}) if as_json else output.say(f"{forgotten} subjects are forgotten")
        return Exit.OK

    return execute(work)


async def _forget(settings: Settings, store: EventStore, person: str, key: str) -> Forgotten | None:
    now = datetime.now(UTC)
    if key:
        return await Keyring(store.keys, tuple).forget_key(settings.project, key, now)
    if not await store.keys.master():
        return None  # Nothing was ever sealed.
    files = master_files(settings)
    return await Keyring(store.keys, files.load).forget(settings.project, person, now)


async def _purged(settings: Settings) -> bool:
    """Whether the company has purged COMMANDS. Without one it does so at its next start."""
    try:
        async with open_asker(settings) as asker:
            return await purge(asker)
    except (Stop, Unreachable, NoReply):
        return False


async def _rewrap(files: MasterFiles, to: Path | None, store: EventStore) -> int:
    if to is not None:
        fresh = make_master(to)
        return await Keyring(store.keys, lambda: [*files.load(), fresh]).rewrap(fresh)
    fresh = make_master(files.next)
    written = await Keyring(store.keys, files.load).rewrap(fresh)
    files.next.replace(files.current)  # Nothing is under the old one any more.
    return written


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Stop(Exit.USAGE, f"{question} Say --yes")
    output.note(f"{question} Type yes:")
    if sys.stdin.readline().strip() != "yes":
        raise Stop(Exit.FAILURE, "nothing was forgotten")


def _answer(key: SubjectKey) -> KeyAnswer:
    forgotten_at = None if key.forgotten_at is None else format_time(key.forgotten_at)
    return KeyAnswer(key.id, key.master, format_time(key.created_at), forgotten_at)


def _tell(answer: ForgetAnswer) -> None:
    if answer.position:
        output.say(f"forgotten: the key is destroyed, and position {answer.position} of the log says so")
    else:
        output.say(f"was forgotten before, at {answer.forgotten_at}")
    if not answer.purged:
        output.note(
            "the last copies in COMMANDS go when the company next purges it: at the latest soon after its start"
        )
