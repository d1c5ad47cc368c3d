"""Audits of the log: verify it, certify all of it, export it with its proof, import it, sign its head. None needs a
running company."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Annotated

import msgspec
from cyclopts import App, Parameter

from actors.cli import output
from actors.cli.anchors import Compared, compare, read_anchors, signer_at_hand
from actors.cli.certificate import certificate
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.embedded.folder import StateFolder
from actors.host import Settings, reader
from actors.runtime.anchors import Anchored, sign_head
from actors.runtime.nats_bus import utc_now
from actors.signing import signer_of
from eventstore.archive import Stretch
from eventstore.errors import BrokenArchive, StoreError, StoreUnavailable
from eventstore.heads import SignedHead
from eventstore.store import EventStore

app = App(
    name="audit", help="Prove what the log says: verify, certify, export it with its proof, import it, sign its head."
)
app.command(certificate)

First = Annotated[int, Parameter(name="--from")]
Last = Annotated[int | None, Parameter(name="--to")]


class Wrong(msgspec.Struct, frozen=True):
    """The first position that is not what was committed (0: something beside the events), and what is wrong there."""

    position: int
    what: str


class VerifyAnswer(msgspec.Struct, frozen=True):
    """What `verify --json` prints. `anchors`: how many of ours were compared, None where they were not looked at."""

    first: int
    last: int
    commits: int
    root: str
    broken: Wrong | None = None
    anchors: int | None = None
    anchored_to: int = 0


class ArchiveAnswer(msgspec.Struct, frozen=True):
    """What `export --json` and `import --json` print. `signed_to`: the last position a signed head covers (0: none)."""

    file: str
    first: int
    last: int
    commits: int
    blobs: int
    root_before: str
    root: str
    signed_to: int = 0


@app.command
def verify(
    *,
    first: First = 1,
    last: Last = None,
    processes: int = 0,
    key: str = "",
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Recompute the hash chain over every event; exit code 5 names the first position that is not what was committed.

    All of the log is also compared with the anchors on the bus, so that one written anew as a whole is found.

    Parameters
    ----------
    first
        The first position; its whole commit is taken.
    last
        The last position; default: the last there is.
    processes
        How many compute at a time; default: one for each core.
    key
        The public key whose anchors count, in hex; default: that of the signing key at hand.
    """
    settings = place.settings()

    async def work() -> int:
        async with _log(settings) as log:
            audited = await log.audit.verify(first, last, processes)
            broken, stretch = audited.broken, audited.stretch
            anchors = Compared()
            if broken is None and (first, last) == (1, None):
                anchors = await compare(settings, log, key)
                broken = anchors.broken
        wrong = None if broken is None else Wrong(broken.position, broken.what)
        answer = VerifyAnswer(
            stretch.first, stretch.last, stretch.commits, stretch.root, wrong, anchors.count, anchors.last
        )
        if as_json:
            output.data(answer)
        elif broken is not None:
            output.note(f"troupe: {broken}: restore the log from a backup, and compare before going on")
        else:
            _tell(answer)
        return Exit.OK if broken is None else Exit.DIVERGENCE

    return execute(work)


@app.command
def export(
    file: Path,
    /,
    *,
    first: First = 1,
    last: Last = None,
    blobs: bool = False,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Write the log, or a range of whole commits, into an archive that `bin/verify FILE` checks without Troupe.

    It holds no key: what is sealed in it stays sealed.

    Parameters
    ----------
    file
        A new file.
    first
        The first position; its whole commit is taken.
    last
        The last position; default: the last there is.
    blobs
        With all blobs.
    """
    settings = place.settings()

    async def work() -> int:
        async with _log(settings) as log:
            heads = await _heads(settings, log)
            with _new(file) as opened:
                stretch = await log.archive.export(opened, first, last, blobs, heads)
        signed = [head.position for head in heads if stretch.first <= head.position <= stretch.last]
        if (stretch.first, stretch.last) != (first, last or stretch.last):
            output.note(f"widened to whole commits: positions {stretch.first} to {stretch.last}")
        _tell_archive(str(file), stretch, max(signed, default=0), as_json)
        return Exit.OK

    return execute(work)


@app.command(name="import")
def import_(file: Path, /, *, as_json: AsJson = False, place: Place = HERE) -> int:
    """Make an archive the log of an empty installation: the same positions, the same commits, the same roots.

    Parameters
    ----------
    file
        An archive that begins at position 1. It is verified before anything is written.
    """
    settings = place.settings()

    async def work() -> int:
        async with _log(settings) as log:
            stretch = await log.archive.restore(file)
        _tell_archive(str(file), stretch, 0, as_json)
        return Exit.OK

    return execute(work)


@app.command
def sign(*, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False, place: Place = HERE) -> int:
    """Print the head of the log, signed, as one line of JSON: keep it out of reach of whoever can change the log.

    Parameters
    ----------
    as_json
        Changes nothing: the answer is always JSON.
    """
    settings = place.settings()

    async def work() -> int:
        async with _log(settings) as log:
            signer = signer_of(StateFolder.open(settings.state).path, settings.signing_key)
            head = await sign_head(log, signer, settings.schema, utc_now)
        if head is None:
            raise Stop(Exit.NOT_FOUND, "there is nothing to sign: the log has no events")
        output.lines([head.line()])
        return Exit.OK

    return execute(work)


@asynccontextmanager
async def _log(settings: Settings) -> AsyncGenerator[EventStore]:
    """The log, and what it refuses as an exit code."""
    async with reader(settings, views=False) as (log, _):
        try:
            yield log
        except StoreUnavailable:
            raise
        except BrokenArchive as error:
            raise Stop(Exit.DIVERGENCE, str(error)) from error
        except StoreError as error:
            raise Stop(Exit.USAGE, str(error)) from error


async def _heads(settings: Settings, log: EventStore) -> list[SignedHead]:
    """The anchors there are, and the head as it is now, all signed by the key at hand."""
    signer = signer_at_hand(settings)
    if signer is None:
        return []
    head = await sign_head(log, signer, settings.schema, utc_now)
    heads = Anchored(await read_anchors(settings) or [], signer.key).heads
    return heads if head is None else [*heads, head]


@contextmanager
def _new(file: Path) -> Generator[IO[bytes]]:
    """A new file; it is there whole at the end or, after an error, not at all."""
    try:
        with file.open("xb") as opened:
            try:
                yield opened
            except BaseException:
                file.unlink()
                raise
    except FileExistsError as error:
        raise Stop(Exit.USAGE, f"{file} is there already: name another file") from error


def _tell(answer: VerifyAnswer) -> None:
    output.say(f"positions {answer.first} to {answer.last} hold, in {answer.commits} commits")
    output.say(f"root {answer.root or '(empty)'}")
    if answer.anchors:
        output.say(f"compared with its anchors: {answer.anchors}, the last at position {answer.anchored_to}")


def _tell_archive(file: str, stretch: Stretch, signed_to: int, as_json: bool) -> None:
    s = stretch
    answer = ArchiveAnswer(file, s.first, s.last, s.commits, s.blobs, s.root_before, s.root, signed_to)
    if as_json:
        output.data(answer)
        return
    blobs = f" and {s.blobs} blobs" if s.blobs else ""
    output.say(f"{file}: positions {s.first} to {s.last} in {s.commits} commits{blobs}")
    output.say(f"root {s.root or '(empty)'}" + (f", signed up to position {signed_to}" if signed_to else ""))
