"""Blobs in memory. Keeps the promises of `eventstore/blobs.py`, but that nothing survives the process."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from anyio.lowlevel import checkpoint

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
from eventstore.memory.tables import Blob, Tables
from eventstore.names import names_in


class MemoryBlobs:
    """The blobs of one store. An upload is its writer's own until it is whole, so there is none to collect."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables, self._now = tables, now
        self.rows, self.effects = tables.blobs, tables.effects

    async def put(self, project: str, content: bytes) -> str:
        check_project(project)
        check_size(len(content))
        await checkpoint()
        return self._store(project, content)

    async def get(self, project: str, sha256: str) -> bytes | None:
        key = project, check_sha256(sha256).hex()
        await checkpoint()
        blob = self.rows.get(key)
        if blob is None:
            return None
        if len(blob.content) > BLOB_BYTES_MAX:
            raise too_big(sha256, len(blob.content))
        if _name(blob) != key[1]:
            raise tampered(*key)
        return blob.content

    async def write(self, project: str, chunks: AsyncIterable[bytes]) -> BlobRef:
        check_project(project)
        pieces = [piece async for piece in rechunked(chunks)]
        await checkpoint()
        content = b"".join(pieces)
        return BlobRef(self._store(project, content), len(content))

    def _store(self, project: str, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        known = self.rows.get((project, sha256)) or Blob(content, self._now(), frozenset(names_in(content)))
        self.rows[project, sha256] = replace(known, touched_at=self._now())
        return sha256

    async def open(self, project: str, sha256: str) -> AsyncGenerator[bytes]:
        key = project, check_sha256(sha256).hex()
        blob = self.rows.get(key)
        if blob is None:
            raise missing(*key)
        for at in range(0, len(blob.content), CHUNK_BYTES):
            await checkpoint()
            if key not in self.rows:
                raise missing(*key)
            yield blob.content[at : at + CHUNK_BYTES]
        if _name(blob) != key[1]:
            raise tampered(*key)

    async def stat(self, project: str, sha256: str) -> StoredBlob | None:
        key = project, check_sha256(sha256).hex()
        await checkpoint()
        blob = self.rows.get(key)
        return None if blob is None else StoredBlob(*key, len(blob.content), blob.touched_at)

    async def each(self, project: str | None = None) -> AsyncGenerator[StoredBlob]:
        for key, blob in self._sorted(project):
            await checkpoint()
            yield StoredBlob(*key, len(blob.content), blob.touched_at)

    async def check(self, project: str | None = None) -> AsyncGenerator[BadBlob]:
        for key, blob in self._sorted(project):
            await checkpoint()
            if _name(blob) != key[1]:
                yield BadBlob(*key, f"its bytes have the SHA-256 {_name(blob)}")

    def _sorted(self, project: str | None) -> list[tuple[tuple[str, str], Blob]]:
        return [(key, self.rows[key]) for key in sorted(self.rows) if project in (None, key[0])]

    async def collect(self, grace_s: float = GRACE_S, dry_run: bool = False) -> Sweep:
        check_grace(grace_s)
        await checkpoint()
        claimed = [row.due for row in self.effects.values() if row.claim is not None]
        cutoff = min([self._now() - timedelta(seconds=grace_s), *claimed])
        named = {(project, name) for project, body in self._bodies() for name in names_in(body)}
        total = Sweep(0, 0, 0)
        while True:
            # What only a blob named that went in this round may go in the next.
            kept = named | {(key[0], name) for key, blob in self.rows.items() for name in blob.names}
            doomed = {
                key: blob
                for key, blob in self.rows.items()
                if blob.touched_at < cutoff and (key[0], bytes.fromhex(key[1])) not in kept
            }
            total = Sweep(total.blobs + len(doomed), total.size + sum(len(b.content) for b in doomed.values()), 0)
            if dry_run or not doomed:
                return total
            for key in doomed:
                del self.rows[key]

    def _bodies(self) -> Iterator[tuple[str, bytes]]:
        """Whatever may name a blob, with its project."""
        tables = self._tables
        yield from ((event.address.project, event.body) for event in tables.events)
        yield from ((project, b"%s %s" % (row.headers, row.body)) for (project, _, _), row in tables.kept.items())
        yield from ((row.send.to.project, row.send.body) for row in tables.outbox.values())
        yield from ((row.address.project, row.timer.body) for row in tables.timers.values())
        yield from ((row.address.project, row.effect.body) for row in tables.effects.values())
        yield from ((key[0], row.answer) for key, row in tables.asks.items() if row.answer is not None)
        yield from ((key[0], outcome.body) for key, outcome in tables.recorded.items())
        yield from ((snapshot.address.project, snapshot.body) for snapshot, _ in tables.snapshots.values())


def _name(blob: Blob) -> str:
    return hashlib.sha256(blob.content).hexdigest()
