"""Archives in PostgreSQL: COPY streams straight into the file and back. Keeps the promises of `eventstore/archive.py`.

What is brought in is staged in temporary tables of the session first, without any lock; one call of one function then
writes it under the log's lock. A client that freezes in between holds up nobody.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import asyncpg

from eventstore import chain
from eventstore.archive import (
    COMMITS,
    EMPTY,
    EVENTS,
    Chunk,
    Progress,
    Source,
    Stretch,
    beyond,
    check_stretch,
    chunks,
    latest,
    opened_archive,
    restore_blobs,
    slowly,
    writing,
)
from eventstore.blobs import Blobs
from eventstore.errors import StoreError
from eventstore.heads import SignedHead
from eventstore.postgres.sessions import Session, copy_out, session
from eventstore.postgres.statements import statement

LOCK_TIMEOUT_MS = 30_000  # An import may wait while a company works.
_NOT_EMPTY = "P0412"  # Raised by restore_staged.
_STAGES = (("staged_commits", "archive_stage_commits", COMMITS), ("staged_log", "archive_stage_log", EVENTS))
_STAGED = ("n", "stream", "nth", "tag", "at", "correlation", "causation", "body")


class PostgresArchive:
    """The log of one schema as a file."""

    def __init__(self, dsn: str, schema: str, blobs: Blobs) -> None:
        self._dsn, self._schema, self._blobs = dsn, schema, blobs

    async def export(
        self,
        file: IO[bytes],
        first: int = 1,
        last: int | None = None,
        blobs: bool = False,
        heads: Sequence[SignedHead] = (),
    ) -> Stretch:
        async with session(self._dsn, self._schema, "export the log", reading=True) as connection:
            stretch = await find_stretch(connection, first, last)
            within = latest(heads, stretch)
            roots = await roots_at(connection, [head.position for head in within])
            ours = [head for head in within if roots.get(head.position) == head.root]
            bounds = (stretch.first - 1, stretch.last)
            with writing(file) as archive:
                with archive.member(COMMITS) as member:
                    await copy_out(connection, "archive_commits", *bounds, to=member.write)
                with archive.member(EVENTS) as member:
                    await copy_out(connection, "archive_events", *bounds, to=member.write)
                archive.heads(ours)
                stretch = replace(stretch, blobs=await archive.blobs(self._blobs) if blobs else 0)
                archive.manifest(stretch, self._schema, datetime.now(UTC))
        return stretch

    async def restore(self, path: Path) -> Stretch:
        archive, stretch = await opened_archive(path)
        await restore_blobs(archive, self._blobs)
        async with session(self._dsn, self._schema, f"restore {path}") as connection:
            for table, stage, member in _STAGES:
                await connection.execute(statement(stage))
                await connection.copy_to_table(table, source=slowly(archive.pieces(member)), format="binary")
                await connection.execute(f"analyze {table}")
            try:
                await connection.execute(f"set lock_timeout = {LOCK_TIMEOUT_MS}")
                await connection.fetchval(statement("archive_restore"))
            except asyncpg.PostgresError as error:
                if error.sqlstate == _NOT_EMPTY:
                    raise StoreError(
                        f"restore {path}: there are events in the log already; restore into a new schema or database"
                    ) from error
                raise
        return stretch

    async def import_events(self, events: Source, progress: Progress | None = None) -> int:
        imported = 0
        async with session(self._dsn, self._schema, "import events") as connection:
            await connection.execute(statement("archive_stage_events"))
            await connection.execute(f"set lock_timeout = {LOCK_TIMEOUT_MS}")
            async for chunk in chunks(events):
                head = await _append(connection, chunk)
                imported += len(chunk.events)
                if progress is not None:
                    progress(imported, head)
        return imported


async def find_stretch(connection: Session, first: int, last: int | None) -> Stretch:
    """The whole commits that hold these positions; StoreError when there are none."""
    check_stretch(first, last)
    row = await connection.fetchrow(statement("archive_stretch"), first, last)
    assert row is not None
    if row["last"] is None and last is None and first == 1:
        return EMPTY
    if row["last"] is None or row["last"] < first:
        raise beyond(first, last, await connection.fetchval(statement("head")))
    return Stretch((row["before"] or 0) + 1, row["last"], row["root_before"] or "", row["root"], row["commits"])


async def roots_at(connection: Session, positions: Collection[int]) -> dict[int, str]:
    """The root (hex) of each commit that ends at one of these."""
    rows = await connection.fetch(statement("audit_roots"), list(positions))
    return {row["last_position"]: row["root"] for row in rows}


async def _append(connection: Session, chunk: Chunk) -> int:
    """One commit; the last position."""
    addresses = list(chunk.streams)
    streams = ([a.project for a in addresses], [a.kind for a in addresses], [a.name for a in addresses])
    versions: list[int] = await connection.fetchval(statement("archive_stream_versions"), *streams)
    tags: dict[str, int] = {}
    rows: list[tuple[object, ...]] = []
    leaves: list[bytes] = []
    prefixes = [chain.stream_prefix(address) for address in addresses]
    for n, (event, (stream, nth)) in enumerate(zip(chunk.events, chunk.places, strict=True), start=1):
        e, tag = event, tags.setdefault(event.type, len(tags) + 1)
        rows.append((n, stream, nth, tag, e.at, e.correlation, e.causation, e.body))
        version = versions[stream - 1] + nth
        leaves.append(chain.leaf(prefixes[stream - 1], version, e.at, e.type, e.correlation, e.causation, e.body))
    await connection.execute("truncate staged_events")
    await connection.copy_records_to_table("staged_events", records=rows, columns=_STAGED)
    digest = chain.digest_and_marks(leaves)
    counted = (*streams, versions, chunk.counts)
    head: int = await connection.fetchval(statement("archive_append"), *counted, list(tags), digest)
    return head
