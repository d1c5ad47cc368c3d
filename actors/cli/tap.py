"""What an actor's effects say while they run."""

import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from actors.cli import output
from actors.cli.desk import open_asker
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.runtime.nats_tap_reader import NatsTapReader
from actors.runtime.taps import Chunk, TapGone
from protocol.subjects import Address, BadSubject, check_address


class ChunkAnswer(msgspec.Struct, frozen=True):
    """A line of `--json`."""

    effect: str
    attempt: int
    offset: int
    text: str


def tap(
    kind: str,
    id_: Annotated[str, Parameter(name="ID")],
    /,
    *,
    effect: Annotated[str, Parameter(help="Only that effect (its key), from its beginning to its end.")] = "",
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Print what the effects of an actor say while they run, until Ctrl-C. What is kept for some minutes comes first.

    Parameters
    ----------
    kind
        The actor's kind (router).
    id_
        Its id (a task's).
    """
    settings = place.settings()
    try:
        address = check_address(Address(settings.project, kind, id_))
    except BadSubject as error:
        raise Stop(Exit.USAGE, str(error)) from error

    async def work() -> int:
        async with open_asker(settings) as asker:
            chunks = NatsTapReader(lambda: asker.client, asker.root).read(address, effect)
            try:
                async for chunk in chunks:
                    _show(chunk, as_json)
            except TapGone as error:
                raise Stop(Exit.FAILURE, str(error)) from error
            finally:
                await chunks.aclose()
        return Exit.OK

    return execute(work)


def _show(chunk: Chunk, as_json: bool) -> None:
    text = chunk.body.decode("utf-8", "replace")
    if as_json:
        output.data(ChunkAnswer(chunk.key, chunk.attempt, chunk.offset, text))
    elif sys.stdout.isatty():
        for line in text.splitlines():
            output.say(line)
    else:
        sys.stdout.buffer.write(chunk.body)
        sys.stdout.flush()
