"""Reading the log in memory: the promises of `Log` in store.py."""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime
from itertools import islice

import anyio
from anyio.lowlevel import checkpoint

from eventstore.checks import (
    check_address_known,
    check_after,
    check_range,
    check_selection,
    check_time,
    unknown_stream,
)
from eventstore.memory.tables import Stream, Tables
from eventstore.records import PAGE_EVENTS_MAX, Recorded, StreamInfo
from eventstore.selection import Selection
from protocol.subjects import Address


class MemoryLog:
    """A Log on tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._woken = anyio.Event()

    async def head(self) -> int:
        await checkpoint()
        return self._tables.head

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
        await checkpoint()
        last = self._tables.head if upto is None else upto
        if s.since is not None:
            after = max(after, self._before(s.since))
        if s.until is not None:
            last = min(last, self._before(s.until))
        between = self._tables.events[after:last]
        wanted = (recorded for recorded in _directed(between, backward) if _selects(s, recorded))
        return list(islice(wanted, limit))

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
        await checkpoint()
        stream = self._tables.streams.get(address)
        return list(islice(_directed(stream.events[after:upto], backward), limit)) if stream else []

    async def stream(self, address: Address) -> StreamInfo:
        check_address_known(address)
        await checkpoint()
        for number, (each, stream) in enumerate(self._tables.streams.items(), start=1):
            if each == address:
                return _info(number, address, stream)
        raise unknown_stream(address)

    async def streams(
        self, after: int = 0, limit: int = PAGE_EVENTS_MAX, project: str | None = None, kind: str | None = None
    ) -> list[StreamInfo]:
        check_range(after, limit, None)
        check_selection(Selection(project=project, kind=kind))
        await checkpoint()
        found = (
            _info(number, address, stream)
            for number, (address, stream) in enumerate(self._tables.streams.items(), start=1)
            if number > after and project in (None, address.project) and kind in (None, address.kind)
        )
        return list(islice(found, limit))

    async def position_before(self, at: datetime) -> int:
        check_time(at)
        await checkpoint()
        return self._before(at)

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        check_after(position)
        woken = self._woken
        with anyio.move_on_after(timeout_s):
            if self._tables.head <= position:
                await woken.wait()
            return True
        return False

    def _before(self, at: datetime) -> int:
        links = self._tables.links
        found = bisect_left(links, at, key=lambda link: link.at)
        return links[found - 1].last_position if found else 0

    def _ring(self, before: int) -> None:
        if self._tables.head > before:
            self._woken.set()
            self._woken = anyio.Event()


def _directed(events: list[Recorded], backward: bool) -> Iterable[Recorded]:
    return reversed(events) if backward else events


def _info(number: int, address: Address, stream: Stream) -> StreamInfo:
    return StreamInfo(number, address, stream.version, stream.fenced)


def _selects(s: Selection, recorded: Recorded) -> bool:
    address = recorded.address
    return (
        (s.project is None or s.project == address.project)
        and (s.kind is None or s.kind == address.kind)
        and (s.name is None or s.name == address.name)
        and (s.types is None or recorded.type in s.types)
        and (s.correlation is None or s.correlation == recorded.correlation)
    )
