"""Archives and audits of the log in memory. Keeps the promises of `eventstore/archive.py` and `eventstore/audit.py`,
but that everything is held in memory anyway."""

import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from anyio.lowlevel import checkpoint

from eventstore import chain, verifier
from eventstore.archive import (
    COMMITS,
    EMPTY,
    EVENTS,
    Progress,
    Source,
    Stretch,
    beyond,
    check_stretch,
    chunks,
    event_row,
    latest,
    link_row,
    opened_archive,
    restore_blobs,
    writing,
)
from eventstore.audit import Audited, broken_blob
from eventstore.blobs import Blobs
from eventstore.errors import StoreError
from eventstore.heads import SignedHead
from eventstore.memory.tables import Stream, Tables
from eventstore.records import Recorded
from protocol.subjects import Address

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = struct.Struct(">q")
_LENGTH = struct.Struct(">i")
_EVENT_FIELDS = 11
_NAME = "memory"


class MemoryArchive:
    """The log of one store as a file. `ring` is told the head before each append."""

    def __init__(self, tables: Tables, blobs: Blobs, ring: Callable[[int], None]) -> None:
        self._tables, self._blobs, self._ring = tables, blobs, ring

    async def export(
        self,
        file: IO[bytes],
        first: int = 1,
        last: int | None = None,
        blobs: bool = False,
        heads: Sequence[SignedHead] = (),
    ) -> Stretch:
        await checkpoint()
        stretch = find_stretch(self._tables, first, last)
        roots = {link.last_position: link.root.hex() for link in self._tables.links}
        commits, events = list(link_rows(self._tables, stretch)), list(event_rows(self._tables, stretch))
        with writing(file) as archive:
            with archive.member(COMMITS) as member:
                member.writelines(commits)
            with archive.member(EVENTS) as member:
                member.writelines(events)
            archive.heads([head for head in latest(heads, stretch) if roots.get(head.position) == head.root])
            stretch = replace(stretch, blobs=await archive.blobs(self._blobs) if blobs else 0)
            archive.manifest(stretch, _NAME, self._tables.now())
        return stretch

    async def restore(self, path: Path) -> Stretch:
        archive, stretch = await opened_archive(path)
        await restore_blobs(archive, self._blobs)
        if self._tables.events:
            raise StoreError(f"restore {path}: there are events in the log already; restore into a new store")
        for event, fenced in _events(b"".join(archive.pieces(EVENTS))):
            stream = self._tables.streams.setdefault(event.address, Stream(fenced))
            stream.events.append(event)
            self._tables.events.append(event)
        self._tables.links.extend(map(_link, verifier.LinkRows().read(archive.pieces(COMMITS))))
        self._ring(0)
        return stretch

    async def import_events(self, events: Source, progress: Progress | None = None) -> int:
        imported = 0
        async for chunk in chunks(events):
            addresses = list(chunk.streams)
            for address in addresses:
                if (stream := self._tables.streams.get(address)) is not None and stream.fenced:
                    raise StoreError(
                        f"import events: the stream {address} belongs to an actor; import into another one"
                    )
            rows = [(addresses[stream - 1], e) for (stream, _), e in zip(chunk.places, chunk.events, strict=True)]
            before = self._tables.head
            for address, event in rows:
                self._tables.write(address, [event], fenced=False)
            self._tables.seal(before)
            self._ring(before)
            imported += len(rows)
            if progress is not None:
                progress(imported, self._tables.head)
        return imported


class MemoryAudit:
    """The log of one store under examination."""

    def __init__(self, tables: Tables, blobs: Blobs) -> None:
        self._tables, self._blobs = tables, blobs

    async def verify(self, first: int = 1, last: int | None = None, processes: int = 0) -> Audited:
        await checkpoint()
        stretch = find_stretch(self._tables, first, last)
        try:
            links = verifier.LinkRows().read(link_rows(self._tables, stretch))
            checked = verifier.Chain(links, stretch.first - 1, bytes.fromhex(stretch.root_before))
            for row in event_rows(self._tables, stretch):
                checked.feed(row)
            checked.end()
        except verifier.Broken as broken:
            return Audited(stretch, broken)
        return Audited(stretch, await broken_blob(self._blobs) if first == 1 and last is None else None)

    async def roots_at(self, positions: Collection[int]) -> dict[int, str]:
        await checkpoint()
        return {link.last_position: link.root.hex() for link in self._tables.links if link.last_position in positions}

    async def head(self) -> tuple[int, str]:
        await checkpoint()
        links = self._tables.links
        return (links[-1].last_position, links[-1].root.hex()) if links else (0, "")


def find_stretch(tables: Tables, first: int, last: int | None) -> Stretch:
    """The whole commits that hold these positions; StoreError when there are none."""
    check_stretch(first, last)
    if not tables.links and first == 1 and last is None:
        return EMPTY
    head = tables.links[-1].last_position if tables.links else 0
    if max(first, last or first) > head:
        raise beyond(first, last, tables.head)
    before = [link for link in tables.links if link.last_position < first]
    within = [link for link in tables.links if link.last_position >= first and link.first_position <= (last or head)]
    root_before = before[-1].root.hex() if before else ""
    return Stretch(within[0].first_position, within[-1].last_position, root_before, within[-1].root.hex(), len(within))


def link_rows(tables: Tables, stretch: Stretch) -> Iterator[bytes]:
    """The links as COPY writes them."""
    yield verifier.COPY_HEADER
    yield from (link_row(link) for link in tables.links if stretch.first <= link.last_position <= stretch.last)
    yield verifier.COPY_TRAILER


def event_rows(tables: Tables, stretch: Stretch) -> Iterator[bytes]:
    """The events as COPY writes them."""
    yield verifier.COPY_HEADER
    for event in tables.events[stretch.first - 1 : stretch.last]:
        yield event_row(event, tables.streams[event.address].fenced)
    yield verifier.COPY_TRAILER


def _events(data: bytes) -> Iterator[tuple[Recorded, bool]]:
    """The events of a COPY stream that was verified, and whether their streams are fenced."""
    place = len(verifier.COPY_HEADER)
    while data[place : place + 2] != verifier.COPY_TRAILER:
        fields: list[bytes] = []
        place += 2
        for _ in range(_EVENT_FIELDS):
            (length,) = _LENGTH.unpack_from(data, place)
            fields.append(data[place + 4 : place + 4 + length])
            place += 4 + length
        position, version, at = (_NUMBER.unpack(fields[n])[0] for n in (0, 2, 3))
        project, kind, name, type_, correlation, causation = (field.decode() for field in fields[4:10])
        address = Address(project, kind, name)
        time = _time(at + verifier.SINCE_2000)
        yield (
            Recorded(position, address, version, type_, time, correlation, causation, fields[10]),
            fields[1] == b"\x01",
        )


def _link(link: verifier.Link) -> chain.Link:
    return chain.Link(link.first, link.last, _time(link.at), link.digest, link.marks, link.root, link.format)


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
