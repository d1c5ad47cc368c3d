"""The port of archives, written as promises, and their format. Two adapters keep them; reached as `store.archive`.

An archive is a stretch of the log in one file that proves itself: verifier.py checks it without us and without a
database. What every adapter promises:

- It holds whole commits of one moment of the log, whoever writes meanwhile, and with blobs all that they name. A
  stretch that would begin or end inside a commit is widened to it.
- What is written and read is never held in memory: a log of any length fits.
- `restore` takes only an archive that holds, from position 1, into a log without events. Positions, versions, links and
  roots are then the archive's, byte for byte, and all of it becomes visible at once or, after a crash, nothing.
- `import_events` makes history from elsewhere part of the log, in order, in commits of up to IMPORT_EVENTS_MAX. What a
  crash leaves is a beginning of it. Others wait while one such commit is written, never for the source or the network.

An archive is the log and, on demand, its blobs. Work under way (sends, timers, effects, cursors) is no part of it.

The format: a zip file without compression, `manifest.json` last. `commits.copy` and `events.copy` are what
PostgreSQL's `COPY … TO … (FORMAT binary)` writes for the columns of sql/archive_commits.sql and sql/archive_events.sql;
`heads.jsonl` holds signed heads, one a line (heads.py); blobs are `blobs/PROJECT/SHA256`. The file ends with the
SHA-256 of all bytes before, in hex, as the comment of the zip file.
"""

import hashlib
import json
import struct
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol, cast

from anyio import to_thread
from anyio.lowlevel import checkpoint

from eventstore import chain, verifier
from eventstore.blobs import Blobs
from eventstore.checks import check_event
from eventstore.errors import BrokenArchive, StoreError
from eventstore.heads import SignedHead
from eventstore.records import NewEvent, Recorded
from protocol.subjects import Address

IMPORT_EVENTS_MAX = 10_000  # Of one commit: others wait for as long as the server takes to insert them.
IMPORT_BYTES_MAX = 16 * 1024**2  # Of their bodies.
HEADS_MAX = 100  # Signed heads of one archive, the latest: each covers everything before it.
MANIFEST, COMMITS, EVENTS, HEADS, BLOBS = "manifest.json", "commits.copy", "events.copy", "heads.jsonl", "blobs"
_2000 = verifier.SINCE_2000
_COUNT = struct.Struct(">h").pack
_BIGINT = struct.Struct(">q").pack

Source = AsyncIterable[tuple[Address, NewEvent]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whole commits of a log: first and last position (first - 1: none), the roots before and at the end in hex, how
    many they are, and how many blobs came with them."""

    first: int
    last: int
    root_before: str
    root: str
    commits: int
    blobs: int = 0


EMPTY = Stretch(1, 0, "", "", 0)  # All there is of a log without events.


class Archive(Protocol):
    """A log as a file."""

    async def export(
        self,
        file: IO[bytes],
        first: int = 1,
        last: int | None = None,
        blobs: bool = False,
        heads: Sequence[SignedHead] = (),
    ) -> Stretch:
        """Write the commits that hold the positions `first` to `last` (None: the last there is), those of the `heads`
        that have the log's root at a position of them, and with `blobs` all blobs. The file need not be seekable; only
        its end makes it whole. StoreError for a stretch the log does not have, TamperedBlob."""
        ...

    async def restore(self, path: Path) -> Stretch:
        """Make the archive the log. BrokenArchive when it does not hold, StoreError when it does not begin at position
        1 or the log is not empty: nothing was written then, or only blobs that nothing refers to."""
        ...

    async def import_events(self, events: Source, progress: Progress | None = None) -> int:
        """Append events in the order they come, each to its plain stream; how many there were. `progress` is told how
        many and the last position after every commit. StoreError for a stream of an actor. After StoreUnavailable the
        last commit may have happened: the versions of its streams tell."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events of one commit, by stream: for each event its stream's number (from 1) and its own place there (from 1)."""

    events: list[NewEvent]
    streams: dict[Address, int]
    counts: list[int]
    places: list[tuple[int, int]]


async def chunks(source: Source) -> "AsyncIterable[Chunk]":
    """The events of the source, a commit at a time. StoreError for one that cannot be stored."""
    chunk, size = Chunk([], {}, [], []), 0
    async for address, event in source:
        check_event(address, event)
        if len(chunk.events) == IMPORT_EVENTS_MAX or size > IMPORT_BYTES_MAX:
            yield chunk
            chunk, size = Chunk([], {}, [], []), 0
        stream = chunk.streams.setdefault(address, len(chunk.streams) + 1)
        if stream > len(chunk.counts):
            chunk.counts.append(0)
        chunk.counts[stream - 1] += 1
        chunk.places.append((stream, chunk.counts[stream - 1]))
        chunk.events.append(event)
        size += len(event.body)
    if chunk.events:
        yield chunk


def check_stretch(first: int, last: int | None) -> None:
    if first < 1 or (last is not None and last < first):
        raise StoreError(
            f"there are no positions {first} to {last}: they count from 1, and the last is not before the first"
        )


def beyond(first: int, last: int | None, head: int) -> StoreError:
    """Of a stretch the log does not have."""
    return StoreError(f"the log ends at position {head}: there is nothing at {first if last is None else last}")


def latest(heads: Iterable[SignedHead], stretch: Stretch) -> list[SignedHead]:
    """Those within the stretch that an archive takes, in order."""
    within = {head.position: head for head in heads if stretch.first <= head.position <= stretch.last}
    return [within[position] for position in sorted(within)[-HEADS_MAX:]]


async def opened_archive(path: Path) -> tuple[verifier.Archive, Stretch]:
    """An archive that holds and begins at position 1, to be restored. BrokenArchive, StoreError."""

    def check() -> tuple[verifier.Archive, verifier.Report]:
        archive = verifier.Archive(path)
        return archive, archive.check()

    try:
        archive, report = await to_thread.run_sync(check)
    except verifier.Unreadable as error:
        raise StoreError(str(error)) from error
    except verifier.Broken as error:
        raise BrokenArchive(f"{path} is not what was written: {error}; take another copy of it") from error
    if report.first != 1:
        raise StoreError(f"{path} begins at position {report.first}: only a log from position 1 on can be restored")
    return archive, Stretch(1, report.last, "", report.root, report.commits, report.blobs)


class ArchiveWriter:
    """Writes an archive's members one after another. Make one with `writing`."""

    def __init__(self, opened: zipfile.ZipFile, at: datetime) -> None:
        self._zip, self._at = opened, at.timetuple()[:6]

    @contextmanager
    def member(self, name: str) -> "Generator[IO[bytes]]":
        """A member, to be written piece by piece inside the block."""
        with self._zip.open(zipfile.ZipInfo(name, self._at), "w", force_zip64=True) as file:
            yield file

    def heads(self, heads: Iterable[SignedHead]) -> None:
        with self.member(HEADS) as file:
            file.writelines(head.line() + b"\n" for head in heads)

    async def blobs(self, blobs: Blobs) -> int:
        """All there are; how many. TamperedBlob."""
        count = 0
        async for blob in blobs.each():
            with self.member(f"{BLOBS}/{blob.project}/{blob.sha256}") as file:
                async for piece in blobs.open(blob.project, blob.sha256):
                    file.write(piece)
            count += 1
        return count

    def manifest(self, stretch: Stretch, log: str, at: datetime) -> None:
        facts = {"format": verifier.FORMAT, "log": log, "created": at.isoformat()}
        with self.member(MANIFEST) as file:
            file.write(json.dumps(facts | asdict(stretch), indent=2).encode() + b"\n")


async def restore_blobs(archive: verifier.Archive, blobs: Blobs) -> None:
    """Put all blobs of an archive that holds."""
    for project, sha256 in archive.blobs():
        await blobs.write(project, slowly(archive.pieces(f"{BLOBS}/{project}/{sha256}")))


async def slowly(pieces: Iterable[bytes]) -> AsyncGenerator[bytes]:
    """The pieces, with time for others in between."""
    for piece in pieces:
        yield piece
        await checkpoint()


@contextmanager
def writing(file: IO[bytes]) -> Generator[ArchiveWriter]:
    """An archive in `file`, whole at the end of the block."""
    summing = _Summing(file)
    with zipfile.ZipFile(cast("IO[bytes]", summing), "w", zipfile.ZIP_STORED) as opened:
        opened.comment = bytes(verifier.SUM_BYTES)
        yield ArchiveWriter(opened, datetime.now(UTC))
    summing.finish()


class _Summing:
    """A file that holds its last SUM_BYTES back and ends with the sum of all before them instead. It has no `tell`, so
    that zipfile never goes back to change what was summed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sum, self._held = file, hashlib.sha256(), b""

    def write(self, data: bytes) -> int:
        ready = self._held + data
        ready, self._held = ready[: -verifier.SUM_BYTES], ready[-verifier.SUM_BYTES :]
        self._sum.update(ready)
        self._file.write(ready)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def finish(self) -> None:
        self._file.write(self._sum.hexdigest().encode())
        self._file.flush()


def link_row(link: chain.Link) -> bytes:
    """A link as COPY writes it."""
    place = [_BIGINT(n) for n in (link.first_position, link.last_position, chain.microseconds(link.at) - _2000)]
    return _row(_COUNT(link.format), *place, link.digest, link.marks, link.root)


def event_row(event: Recorded, fenced: bool) -> bytes:
    """An event as COPY writes it."""
    a = event.address
    words = [w.encode() for w in (a.project, a.kind, a.name, event.type, event.correlation, event.causation)]
    at = _BIGINT(chain.microseconds(event.at) - _2000)
    return _row(_BIGINT(event.position), bytes([fenced]), _BIGINT(event.version), at, *words, event.body)


def _row(*fields: bytes) -> bytes:
    return _COUNT(len(fields)) + b"".join(map(chain.framed, fields))
