"""One piece of an audit: whole commits, recomputed on what the database has. Also a program, for a process of its own:
it reads a Piece from stdin and writes a Result to stdout, both as JSON. Its end ends its session, however it came."""

import sys

import anyio
import msgspec

from eventstore.errors import StoreError, StoreUnavailable
from eventstore.postgres.sessions import copy_out, session
from eventstore.postgres.statements import statement
from eventstore.verifier import Broken, Chain, LinkRows

LOWEST = -(1 << 63)  # Nothing is before position 1; what somebody put there is read, and found.


class Piece(msgspec.Struct, frozen=True):
    """The commits with `after` < last position <= `upto`. The DSN may hold a password: it is never an argument."""

    dsn: str
    schema: str
    after: int
    upto: int


class Result(msgspec.Struct, frozen=True):
    """The first thing that is wrong ("" nothing), or why that cannot be told."""

    position: int = 0
    what: str = ""
    unavailable: str = ""
    failed: str = ""


async def check_piece(piece: Piece) -> Broken | None:
    """The first thing that is wrong in it."""
    after, upto = piece.after, piece.upto
    rows: list[bytes] = []
    try:
        async with session(piece.dsn, piece.schema, "verify the log", reading=True) as connection:
            root: bytes = await connection.fetchval(statement("audit_root"), after) or b""
            low = after or LOWEST
            await copy_out(connection, "archive_commits", low, upto, to=rows.append)
            chain = Chain(LinkRows().read(rows), after, root)
            await copy_out(connection, "archive_events", low, upto, to=chain.feed)
            chain.end()
    except Broken as broken:
        return broken
    return None


async def _main() -> Result:
    piece = msgspec.json.decode(sys.stdin.buffer.read(), type=Piece)
    try:
        broken = await check_piece(piece)
    except StoreUnavailable as error:
        return Result(unavailable=str(error))
    except StoreError as error:
        return Result(failed=str(error))
    return Result() if broken is None else Result(broken.position, broken.what)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(anyio.run(_main)))
