"""Blobs in PostgreSQL: the tables and functions of migrations/0006_blobs.sql. Keeps the promises of
`eventstore/blobs.py`.

Small content lies in its row, so that old code finds it; a stream of more than one chunk lies in rows of CHUNK_BYTES,
each stored by a transaction of its own. Nothing here holds a connection while its caller thinks.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from uuid import UUID

import asyncpg

from eventstore.blobs import (
    BLOB_BYTES_MAX,
    CHUNK_BYTES,
    GRACE_S,
    BadBlob,
    BlobRef,
    StoredBlob,
    Sweep,
    check_grace,
    check_project,
    check_size,
    missing,
    rechunked,
    tampered,
    too_big,
)
from eventstore.checks import check_sha256
from eventstore.errors import BlobMissing, TamperedBlob, UploadLost
from eventstore.names import NameScanner, names_in
from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements

PAGE_BLOBS_MAX = 500  # Rows of one list.
CHECK_BLOBS_MAX = 16  # Blobs whose hash the server computes in one statement.
MARK_ROWS_MAX = 2_000  # Events, and inbox rows, searched in one transaction.
AHEAD_ROWS_MAX = 1_000  # The same under the log's lock: about 30 ms when each names a blob.
SWEEP_BLOBS_MAX = 100  # Deleted in one transaction under the log's lock,
SWEEP_BYTES_MAX = 2 * BLOB_BYTES_MAX  # if they have no more than so many bytes; about 50 ms.
DROP_CHUNKS_MAX = 64
CATCH_UPS_MAX = 10  # A log that is further ahead after so many is left to the next collection.


class PostgresBlobs:
    """The blobs of one schema. What takes the log's lock runs on `committing`, where the server bounds its time."""

    def __init__(self, general: Pool, committing: Pool) -> None:
        self._run = Statements(general)
        self._locked = Statements(committing)

    async def put(self, project: str, content: bytes) -> str:
        check_project(project)
        check_size(len(content))
        digest = hashlib.sha256(content)
        await self._run.rows("put_blob", project, digest.digest(), content, list(names_in(content)))
        return digest.hexdigest()

    async def get(self, project: str, sha256: str) -> bytes | None:
        rows = await self._run.rows("get_blob", project, check_sha256(sha256), BLOB_BYTES_MAX)
        if not rows:
            return None
        content, size = rows[0]["content"], rows[0]["size"]
        if size > BLOB_BYTES_MAX:
            raise too_big(sha256, size)
        if content is None or hashlib.sha256(content).hexdigest() != sha256.lower():
            raise tampered(project, sha256)
        return bytes(content)

    async def write(self, project: str, chunks: AsyncIterable[bytes]) -> BlobRef:
        check_project(project)
        digest, size, scanner = hashlib.sha256(), 0, NameScanner()
        upload: UUID | None = None
        held, n = b"", 0  # A stream of one chunk needs no upload: its only chunk is held back until more comes.
        async for chunk in rechunked(chunks):
            if held:
                upload = upload or await self._run.value("begin_blob_upload", project)
                await self._add(upload, n, held, scanner)
                n += 1
            digest.update(chunk)
            size, held = size + len(chunk), chunk
        if upload is None:
            return BlobRef(await self.put(project, held), size)
        await self._add(upload, n, held, scanner)
        if not await self._run.value("publish_blob", upload, digest.digest(), size):
            raise _lost(project)
        return BlobRef(digest.hexdigest(), size)

    async def _add(self, upload: UUID | None, n: int, chunk: bytes, scanner: NameScanner) -> None:
        if not await self._run.value("add_blob_chunk", upload, n, chunk, list(scanner.feed(chunk))):
            raise _lost(str(upload))

    async def open(self, project: str, sha256: str) -> AsyncGenerator[bytes]:
        key = check_sha256(sha256)
        row = await self._stat(project, key)
        if row is None:
            raise missing(project, sha256)
        digest, left, n = hashlib.sha256(), row["size"], 0
        while left > 0:
            if row["chunks"] is None:
                piece = await self._run.value("read_blob_slice", project, key, n * CHUNK_BYTES, CHUNK_BYTES)
            else:
                piece = await self._run.value("read_blob_chunk", row["chunks"], n)
            if not piece:
                again = await self._stat(project, key)
                gone = again is None or again["chunks"] != row["chunks"]
                raise missing(project, sha256) if gone else tampered(project, sha256)
            digest.update(piece)
            left, n = left - len(piece), n + 1
            yield piece
        if left or digest.digest() != key:
            raise tampered(project, sha256)

    async def stat(self, project: str, sha256: str) -> StoredBlob | None:
        row = await self._stat(project, check_sha256(sha256))
        return None if row is None else _stored(row)

    async def _stat(self, project: str, key: bytes) -> asyncpg.Record | None:
        rows = await self._run.rows("stat_blob", project, key)
        return rows[0] if rows else None

    async def each(self, project: str | None = None) -> AsyncGenerator[StoredBlob]:
        async for row in self._pages("list_blobs", project, PAGE_BLOBS_MAX):
            yield _stored(row)

    async def check(self, project: str | None = None) -> AsyncGenerator[BadBlob]:
        async for row in self._pages("check_blobs", project, CHECK_BLOBS_MAX):
            owner, sha256 = row["project"], row["sha256"].hex()
            if row["found"] is not None:
                if row["found"] != row["sha256"]:
                    yield BadBlob(owner, sha256, f"its bytes have the SHA-256 {row['found'].hex()}")
                continue
            try:
                async for _ in self.open(owner, sha256):
                    pass
            except TamperedBlob:
                yield BadBlob(owner, sha256, "its chunks are not the bytes that were stored")
            except BlobMissing:
                pass  # Collected since the page was read.

    async def _pages(self, name: str, project: str | None, limit: int) -> AsyncGenerator[asyncpg.Record]:
        """Every row of a statement that reads on after a project and a hash."""
        after = ("", b"")
        while rows := await self._run.rows(name, *after, project, limit):
            for row in rows:
                yield row
            after = (rows[-1]["project"], rows[-1]["sha256"])

    async def collect(self, grace_s: float = GRACE_S, dry_run: bool = False) -> Sweep:
        check_grace(grace_s)
        uploads = 0 if dry_run else await self._run.value("expire_blob_uploads", grace_s)
        since = await self._search()
        total = Sweep(0, 0, uploads)
        try:
            while True:
                # What only a blob named that went in this round may go in the next.
                swept, since = await self._round(grace_s, since, dry_run)
                total = Sweep(total.blobs + swept.blobs, total.size + swept.size, uploads, swept.complete)
                if dry_run or not swept.complete or not swept.blobs:
                    return total
        finally:
            if not dry_run:
                while await self._run.value("drop_blob_chunks", DROP_CHUNKS_MAX):
                    pass

    async def _search(self) -> str:
        """Search the log to its end, and what is under way; the transaction from which on nothing was seen."""
        while await self._run.value("mark_blobs", MARK_ROWS_MAX):
            pass
        return str(await self._run.value("begin_blob_sweep"))

    async def _round(self, grace_s: float, since: str, dry_run: bool) -> tuple[Sweep, str]:
        """Once through all blobs."""
        blobs = size = 0
        after = ("", b"")
        while page := await self._run.rows("blob_candidates", *after, grace_s, SWEEP_BLOBS_MAX):
            after = (page[-1]["project"], page[-1]["sha256"])
            if dry_run:
                blobs, size = blobs + len(page), size + sum(row["size"] for row in page)
                continue
            for doomed in _bounded(page):
                swept, since = await self._sweep(doomed, grace_s, since)
                if swept is None:
                    return Sweep(blobs, size, 0, complete=False), since
                blobs, size = blobs + swept["blobs"], size + swept["size"]
        return Sweep(blobs, size, 0), since

    async def _sweep(
        self, doomed: list[asyncpg.Record], grace_s: float, since: str
    ) -> tuple[asyncpg.Record | None, str]:
        """Take those that may go, in one transaction; None when the log runs away."""
        keys = ([row["project"] for row in doomed], [row["sha256"] for row in doomed])
        for _ in range(CATCH_UPS_MAX):
            swept = await self._locked.rows("sweep_blobs", *keys, grace_s, since, AHEAD_ROWS_MAX)
            if swept:
                return swept[0], since
            since = await self._search()
        return None, since


def _bounded(page: list[asyncpg.Record]) -> Iterator[list[asyncpg.Record]]:
    """The page in parts of at most SWEEP_BYTES_MAX, a bigger blob alone."""
    part: list[asyncpg.Record] = []
    size = 0
    for row in page:
        if part and size + row["size"] > SWEEP_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(row)
        size += row["size"]
    yield part


def _stored(row: asyncpg.Record) -> StoredBlob:
    return StoredBlob(row["project"], row["sha256"].hex(), row["size"], row["touched_at"])


def _lost(what: str) -> UploadLost:
    return UploadLost(f"the stream into {what} rested for too long and was collected: write it from its beginning")
