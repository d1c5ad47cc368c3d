"""Going through every actor's history with the code of this process: what a check before a deploy and a comparison of
decisions share.

Histories are read several at a time, a page at a time, so memory is bounded by the biggest states. Nothing is written,
and a company may run meanwhile: what came after a history was read is left out.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import Any

import anyio

from actors.runtime.kind import Kind
from actors.runtime.recovered import Recovered
from actors.runtime.reenact import NOBODYS, PAGE_EVENTS
from actors.runtime.relive import Life
from eventstore.store import EventStore, NewEffect, NewSend
from protocol.subjects import Address

READERS_MAX = 8  # Histories that are read at a time.
STREAMS_MAX = 500  # Of one page.
SAMPLE_SEED = 0  # The same log and the same N are the same sample.


class Walk:
    """The actors of a log; with `sample` so many of each kind, the same ones each time."""

    def __init__(self, store: EventStore, sample: int = 0) -> None:
        self._store, self._sample = store, sample
        self._sampled: list[Address] | None = None

    async def each(self, look: Callable[[Address], Coroutine[Any, Any, None]]) -> None:
        """Look at every history, READERS_MAX at a time. What `look` raises ends it, as itself."""
        if self._sample and self._sampled is None:
            self._sampled = await self._sampled_streams()
        giving, taking = anyio.create_memory_object_stream[Address](READERS_MAX)

        async def read() -> None:
            async with taking.clone() as addresses:
                async for address in addresses:
                    await look(address)

        try:
            async with anyio.create_task_group() as group, giving, taking:
                for _ in range(READERS_MAX):
                    group.start_soon(read)
                async for address in self._streams():
                    await giving.send(address)
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _streams(self) -> AsyncIterator[Address]:
        if self._sampled is not None:
            for address in self._sampled:
                yield address
            return
        number = 0
        while page := await self._store.streams(number, STREAMS_MAX):
            for stream in page:
                if stream.fenced and stream.address.kind not in NOBODYS:
                    yield stream.address
            number = page[-1].number

    async def _sampled_streams(self) -> list[Address]:
        """So many of each kind, each with the same chance."""
        chance, seen = Random(SAMPLE_SEED), dict[str, int]()  # noqa: S311 - a sample, no secret
        kept: dict[str, list[Address]] = {}
        async for address in self._streams():
            some = kept.setdefault(address.kind, [])
            seen[address.kind] = seen.get(address.kind, 0) + 1
            if len(some) < self._sample:
                some.append(address)
            elif (place := chance.randrange(seen[address.kind])) < self._sample:
                some[place] = address
        return [address for some in kept.values() for address in some]


async def recover(
    store: EventStore, kind: Kind[Any], address: Address, recovered: Recovered, upto: int | None = None
) -> AsyncIterator[int]:
    """Live a history again, up to that position (None: to its end), and keep what it sent and wanted; how many events
    each page had. Unlivable: nothing of that page was kept, and the history does not count as walked."""
    life = Life(kind, address)
    while page := await store.read_stream(address, life.version, PAGE_EVENTS):
        within = [recorded for recorded in page if upto is None or recorded.position <= upto]
        sends: list[NewSend] = []
        effects: list[tuple[int, NewEffect]] = []
        for recorded in within:
            wanted = life.live(recorded)
            sends.extend(what for what in wanted if isinstance(what, NewSend))
            effects.extend((recorded.position, what) for what in wanted if isinstance(what, NewEffect))
        recovered.add_sends(address.project, sends)
        recovered.add_effects(address.project, effects)
        yield len(within)
        if len(within) < len(page):
            break
    recovered.add_timers(address, life.timers.values())
    recovered.walked(address, life.version)
