"""Reading the log in PostgreSQL: the promises of `Log` in store.py.

Rows come with the numbers of their stream and type. What those stand for never changes, so this process asks for each
once and then only remembers; the server joins nothing, and equal addresses are one value.
"""

from collections.abc import Sequence
from datetime import datetime

import anyio
import asyncpg

from eventstore.checks import (
    POSITION_MAX,
    check_address_known,
    check_after,
    check_range,
    check_selection,
    check_time,
    unknown_stream,
)
from eventstore.postgres.connections import Listener, Pool
from eventstore.postgres.statements import Statements
from eventstore.records import PAGE_EVENTS_MAX, Recorded, StreamInfo
from eventstore.selection import Selection
from protocol.subjects import Address

STREAMS_KNOWN_MAX = 100_000  # About 30 MB; beyond it all are forgotten, and asked for again as they come.


class PostgresLog:
    """A Log on one schema, through one pool."""

    def __init__(self, general: Pool, listener: Listener) -> None:
        self._run = Statements(general)
        self._listener = listener
        self._addresses: dict[int, Address] = {}
        self._tags: dict[int, str] = {}

    async def head(self) -> int:
        return int(await self._run.value("head"))

    async def read(
        self,
        after: int,
        limit: int = PAGE_EVENTS_MAX,
        upto: int | None = None,
        selection: Selection | None = None,
        backward: bool = False,
    ) -> list[Recorded]:
        check_range(after, limit, upto)
        s = selection or Selection()
        check_selection(s)
        last = POSITION_MAX if upto is None else upto
        if s.since is not None:
            after = max(after, await self.position_before(s.since))
        if s.until is not None:
            last = min(last, await self.position_before(s.until))
        types = await self._type_ids(s.types)
        if last <= after or types == []:
            return []
        if s.stream is not None:
            return await self._read_one_stream(s.stream, after, last, limit, types, s.correlation, backward)
        if s.project is None and s.kind is None and s.name is None:
            name = "read_backward" if backward else "read"
            rows = await self._run.rows(name, after, last, limit, types, s.correlation)
        else:
            name = "read_selected_backward" if backward else "read_selected"
            asked = (after, last, limit, types, s.correlation, s.project, s.kind, s.name)
            rows = await self._run.rows(name, *asked)
        return await self._recorded(rows)

    async def read_stream(
        self,
        address: Address,
        after: int = 0,
        limit: int = PAGE_EVENTS_MAX,
        upto: int | None = None,
        backward: bool = False,
    ) -> list[Recorded]:
        check_address_known(address)
        check_range(after, limit, upto)
        last = POSITION_MAX if upto is None else upto
        return await self._read_versions(address, after, last, limit, None, None, backward)

    async def stream(self, address: Address) -> StreamInfo:
        check_address_known(address)
        rows = await self._run.rows("stream", address.project, address.kind, address.name)
        if not rows:
            raise unknown_stream(address)
        return _stream(rows[0])

    async def streams(
        self, after: int = 0, limit: int = PAGE_EVENTS_MAX, project: str | None = None, kind: str | None = None
    ) -> list[StreamInfo]:
        check_range(after, limit, None)
        check_selection(Selection(project=project, kind=kind))
        return [_stream(row) for row in await self._run.rows("streams", after, limit, project, kind)]

    async def position_before(self, at: datetime) -> int:
        check_time(at)
        return int(await self._run.value("position_before", at))

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        check_after(position)
        with anyio.move_on_after(timeout_s):
            await self._listener.ready()
            woken = self._listener.next
            if await self.head() <= position:
                await woken.wait()
            return True
        return False

    async def _read_one_stream(
        self,
        address: Address,
        after: int,
        last: int,
        limit: int,
        types: list[int] | None,
        correlation: str | None,
        backward: bool,
    ) -> list[Recorded]:
        """The selected events between two positions, by the versions that the stream had there."""
        place = (address.project, address.kind, address.name)
        bounds = await self._run.rows("stream_versions", *place, after, last)
        if not bounds:
            return []
        low, high = bounds[0]
        return await self._read_versions(address, low, high, limit, types, correlation, backward)

    async def _read_versions(
        self,
        address: Address,
        after: int,
        last: int,
        limit: int,
        types: list[int] | None,
        correlation: str | None,
        backward: bool,
    ) -> list[Recorded]:
        name = "read_stream_backward" if backward else "read_stream"
        place = (address.project, address.kind, address.name)
        return await self._recorded(await self._run.rows(name, *place, after, last, limit, types, correlation))

    async def _type_ids(self, tags: Sequence[str] | None) -> list[int] | None:
        """The numbers of those tags that were ever written."""
        if tags is None:
            return None
        known = {tag: id_ for id_, tag in self._tags.items()}
        if not known.keys() >= set(tags):
            await self._learn_tags()
        return [id_ for id_, tag in self._tags.items() if tag in tags]

    async def _learn_tags(self) -> None:
        self._tags = {row["id"]: row["tag"] for row in await self._run.rows("type_tags")}

    async def _recorded(self, rows: Sequence[asyncpg.Record]) -> list[Recorded]:
        try:
            return self._as_known(rows)
        except KeyError:
            await self._learn(rows)
            return self._as_known(rows)

    def _as_known(self, rows: Sequence[asyncpg.Record]) -> list[Recorded]:
        """KeyError for a stream or a type not met yet."""
        addresses, tags = self._addresses, self._tags
        return [
            Recorded(position, addresses[stream], version, tags[type_id], at, correlation, causation, body)
            for position, stream, version, type_id, at, correlation, causation, body in rows
        ]

    async def _learn(self, rows: Sequence[asyncpg.Record]) -> None:
        """Ask for the streams and types of these rows; when too many are known, keep only those."""
        streams: set[int] = {row["stream_id"] for row in rows}
        if len(self._addresses) + len(streams) > STREAMS_KNOWN_MAX:
            self._addresses = {id_: address for id_, address in self._addresses.items() if id_ in streams}
        for row in await self._run.rows("stream_addresses", [id_ for id_ in streams if id_ not in self._addresses]):
            self._addresses[row["id"]] = Address(row["project"], row["kind"], row["name"])
        if any(row["type_id"] not in self._tags for row in rows):
            await self._learn_tags()


def _stream(row: asyncpg.Record) -> StreamInfo:
    address = Address(row["project"], row["kind"], row["name"])
    return StreamInfo(row["id"], address, row["version"], row["fenced"])
