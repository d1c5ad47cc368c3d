"""Audits in PostgreSQL: COPY streams of whole commits, recomputed by verifier.py in several processes. Keeps the
promises of `eventstore/audit.py`.

The log is cut into pieces at the ends of commits. Each piece rests on the root that stands before it, and the piece
before shows that this root holds. A piece is computed by a process of its own (audit_piece.py), which ends with it.
"""

import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import anyio
import msgspec

from eventstore.archive import EMPTY, Stretch
from eventstore.audit import Audited, broken_blob
from eventstore.blobs import Blobs
from eventstore.errors import StoreError, StoreUnavailable
from eventstore.postgres.archive import find_stretch, roots_at
from eventstore.postgres.audit_piece import Piece, Result, check_piece
from eventstore.postgres.sessions import Session, session
from eventstore.postgres.statements import statement
from eventstore.verifier import Broken

PIECE_EVENTS_MIN = 100_000  # About 0.2 s of computing, against 0.1 s for a process to begin.
PIECE_EVENTS_MAX = 400_000  # Its links are held in memory: 60 MB if each commit has one event.
PIECES_PER_PROCESS = 4  # More than one, so that all end at about the same time.
PROCESS_EVENTS_MIN = 50_000  # Fewer are computed here before a process has begun.
_ROOT = Path(__file__).parents[2]


class PostgresAudit:
    """The log of one schema under examination."""

    def __init__(self, dsn: str, schema: str, blobs: Blobs) -> None:
        self._dsn, self._schema, self._blobs = dsn, schema, blobs

    async def verify(self, first: int = 1, last: int | None = None, processes: int = 0) -> Audited:
        async with session(self._dsn, self._schema, "verify the log") as connection:
            stretch = await find_stretch(connection, first, last)
            broken = await self._chain(connection, stretch, processes)
            if broken is None and first == 1 and last is None:
                broken = await _beside(connection) or await broken_blob(self._blobs)
        return Audited(stretch, broken)

    async def roots_at(self, positions: Collection[int]) -> dict[int, str]:
        async with session(self._dsn, self._schema, "read roots") as connection:
            return await roots_at(connection, positions)

    async def head(self) -> tuple[int, str]:
        async with session(self._dsn, self._schema, "read the head") as connection:
            row = await connection.fetchrow(statement("audit_head"))
        return (0, "") if row is None else (row["last_position"], row["root"])

    async def _chain(self, connection: Session, stretch: Stretch, processes: int) -> Broken | None:
        if stretch == EMPTY:
            return None
        processes = processes or len(os.sched_getaffinity(0))
        size = (stretch.last - stretch.first) // (processes * PIECES_PER_PROCESS)
        pieces = await self._pieces(connection, stretch, max(PIECE_EVENTS_MIN, min(size, PIECE_EVENTS_MAX)))
        if processes == 1 or stretch.last - stretch.first < PROCESS_EVENTS_MIN:
            for piece in pieces:
                if (broken := await check_piece(piece)) is not None:
                    return broken
            return None
        return await _first(pieces, processes)

    async def _pieces(self, connection: Session, stretch: Stretch, size: int) -> list[Piece]:
        """The stretch in pieces of about `size` events."""
        pieces: list[Piece] = []
        after = stretch.first - 1
        while after < stretch.last:
            upto: int | None = await connection.fetchval(statement("audit_boundary"), after + size)
            upto = stretch.last if upto is None else min(upto, stretch.last)
            pieces.append(Piece(self._dsn, self._schema, after, upto))
            after = upto
        return pieces


async def _first(pieces: list[Piece], processes: int) -> Broken | None:
    """The first thing that is wrong in any piece."""
    broken: dict[int, Broken] = {}
    waiting: Iterator[tuple[int, Piece]] = iter(enumerate(pieces))

    async def compute() -> None:
        for n, piece in waiting:
            if any(found < n for found in broken):
                return
            answer = await _in_a_process(piece)
            if answer is not None:
                broken[n] = answer

    async with anyio.create_task_group() as group:
        for _ in range(min(processes, len(pieces))):
            group.start_soon(compute)
    return broken[min(broken)] if broken else None


async def _in_a_process(piece: Piece) -> Broken | None:
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    done = await anyio.run_process(
        [sys.executable, "-P", "-m", "eventstore.postgres.audit_piece"],
        input=msgspec.json.encode(piece),
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        result = msgspec.json.decode(done.stdout, type=Result)
    except msgspec.DecodeError as error:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise StoreError(f"verify the log: a process ended with {done.returncode} ({said}); try again") from error
    if result.unavailable:
        raise StoreUnavailable(result.unavailable)
    if result.failed:
        raise StoreError(result.failed)
    return None if not result.what else Broken(result.position, result.what)


async def _beside(connection: Session) -> Broken | None:
    """What the chain does not cover."""
    beyond: int | None = await connection.fetchval(statement("audit_beyond"))
    if beyond is not None:
        return Broken(beyond, "the event is in no commit: it was added, or the row of its commit is gone")
    row = await connection.fetchrow(statement("audit_streams"))
    if row is not None:
        stream = f"{row['project']}/{row['kind']}/{row['name']}"
        return Broken(row["position"], f"the stream {stream} is said to be at version {row['version']}, and is not")
    return None
