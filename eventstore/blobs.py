"""The port of blobs, written as promises: big content by the hash of its bytes. `store.blobs`.

- A blob is named by its project and the SHA-256 (hex) of its bytes. The same bytes are stored once in a project;
  another project's are not seen, not even whether they are there.
- A blob is there whole or not at all. A stream that ended half-way leaves an upload that nobody sees; `collect` takes
  it away. Streams need bounded memory, however long they are.
- Bytes that no longer hash to their name are never given out as if they did: TamperedBlob.
- `collect` never takes a blob that is named by the log (events, and inbox rows with their headers), by what is under
  way (sends, timers, effects), by a snapshot, or by the bytes of another blob or upload that is there: see names.py for
  what counts as naming. What was named once may stay even when nothing names it any more. What nobody ever named goes
  once it was not put for the grace. A commit that names a blob before `collect` has the log's lock is seen by it.
- So whoever puts a blob and names it within the grace can never lose it, and whoever names it later puts it again
  first (which is cheap, changes nothing, and begins the grace anew). Writers are bounded by that: an effect puts blobs
  while it holds its claim, and while any effect is claimed nothing that was put since it fell due is taken, however
  long its worker was frozen. Everything else that puts and names does so within GRACE_S_MIN.
"""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from eventstore.errors import BadInput, BlobMissing, BlobTooBig, TamperedBlob
from protocol.subjects import BadSubject, check_token

CHUNK_BYTES = 1024 * 1024  # What a stream holds in memory at a time, and no piece read from one is longer.
BLOB_BYTES_MAX = 32 * 1024 * 1024  # Of `put` and `get`, which hold all of it; what is bigger is streamed.
GRACE_S = 7 * 86_400.0
GRACE_S_MIN = 3_600.0


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A blob's name in its project, and how many bytes it has."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that is there. `touched_at` is when it was put for the last time."""

    project: str
    sha256: str
    size: int
    touched_at: datetime


@dataclass(frozen=True, slots=True)
class BadBlob:
    """A blob whose bytes are not what its name says, and in words what is wrong."""

    project: str
    sha256: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a collection took: blobs, their bytes, and uploads nobody finished. Not `complete`: the log was written
    faster than it could be searched, and the rest is left to the next collection."""

    blobs: int
    size: int
    uploads: int
    complete: bool = True


class Blobs(Protocol):
    """Big content. A hash that is not 64 hex digits is a StoreError."""

    async def put(self, project: str, content: bytes) -> str:
        """Store bytes; their SHA-256 in hex. BlobTooBig beyond BLOB_BYTES_MAX: use `write`."""
        ...

    async def get(self, project: str, sha256: str) -> bytes | None:
        """The bytes, or None when there is no such blob. BlobTooBig beyond BLOB_BYTES_MAX: use `open`. TamperedBlob."""
        ...

    async def write(self, project: str, chunks: AsyncIterable[bytes]) -> BlobRef:
        """Store a stream. Chunks may have any length. After an error nothing of it is visible; UploadLost when it
        rested for longer than the grace and was collected."""
        ...

    def open(self, project: str, sha256: str) -> AsyncGenerator[bytes]:
        """The bytes in order, in pieces of at most CHUNK_BYTES. BlobMissing when there is none, or when it is
        collected meanwhile; TamperedBlob at the end when what was given out is not what the name says: keep nothing of
        it."""
        ...

    async def stat(self, project: str, sha256: str) -> StoredBlob | None:
        """What is known of a blob without reading it."""
        ...

    def each(self, project: str | None = None) -> AsyncGenerator[StoredBlob]:
        """Every blob of the project (None: of all), by project and hash. One that comes or goes meanwhile may be in it
        or not."""
        ...

    def check(self, project: str | None = None) -> AsyncGenerator[BadBlob]:
        """Read every blob of the project (None: of all) and name those that are not what their name says."""
        ...

    async def collect(self, grace_s: float = GRACE_S, dry_run: bool = False) -> Sweep:
        """Take away what nobody names and nobody put for `grace_s`, and uploads that rested that long. May run beside
        everything else, and beside itself. With `dry_run` nothing is taken, and blobs that only such a blob names are
        not counted. BadInput for a grace below GRACE_S_MIN."""
        ...


def check_project(project: str) -> None:
    """BadInput for a project that no address can have."""
    try:
        check_token("project", project)
    except BadSubject as error:
        raise BadInput(str(error)) from error


def check_grace(grace_s: float) -> None:
    """BadInput for a grace that could take a blob from a writer that has not named it yet."""
    if not grace_s >= GRACE_S_MIN:
        raise BadInput(
            f"a grace of {grace_s:g} s is too short for writers that have not named their blobs yet: "
            f"give {GRACE_S_MIN:g} or more"
        )


async def rechunked(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """The same bytes in pieces of CHUNK_BYTES, the last one shorter; nothing for an empty stream."""
    rest = bytearray()
    async for chunk in chunks:
        view = memoryview(chunk)
        while len(view):
            taken = view[: CHUNK_BYTES - len(rest)]
            rest += taken
            view = view[len(taken) :]
            if len(rest) == CHUNK_BYTES:
                yield bytes(rest)
                rest.clear()
    if rest:
        yield bytes(rest)


def check_size(size: int) -> None:
    """BlobTooBig for content that has to be streamed."""
    if size > BLOB_BYTES_MAX:
        raise BlobTooBig(f"the content has {size} bytes, limit {BLOB_BYTES_MAX}: store it with `write`, as a stream")


def too_big(sha256: str, size: int) -> BlobTooBig:
    return BlobTooBig(f"the blob {sha256} has {size} bytes, limit {BLOB_BYTES_MAX}: read it with `open`, as a stream")


def missing(project: str, sha256: str) -> BlobMissing:
    return BlobMissing(f"the project {project} has no blob {sha256}: put it again, or restore it from a backup")


def tampered(project: str, sha256: str) -> TamperedBlob:
    return TamperedBlob(f"the blob {sha256} of {project} is not what was stored: restore it from a backup")
