"""Taps on a real server: chunks as they come and as they were kept, across a restart of the server, and with gaps."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from actors.runtime import nats_taps
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.nats_bus import NatsBus
from actors.runtime.nats_tap_reader import NatsTapReader
from actors.runtime.nats_taps import NatsTaps, remove_taps
from actors.runtime.taps import Chunk, Tap, TapGone
from protocol.subjects import tap_subject
from tests.kit.company import PATIENCE_S, at, own_bus
from tests.kit.counting import Job
from tests.kit.stack import Stack

HERE = at("worker", "w1")
KEY = "worker/w1@1.0"


@asynccontextmanager
async def tapped(bus: NatsBus, metrics: RuntimeMetrics | None = None) -> AsyncGenerator[NatsTaps]:
    taps = NatsTaps(bus, metrics)
    async with anyio.create_task_group() as group:
        group.start_soon(taps.run)
        try:
            yield taps
        finally:
            group.cancel_scope.cancel()


def reader(bus: NatsBus) -> NatsTapReader:
    return NatsTapReader(lambda: bus.client, bus.root)


async def some(chunks: AsyncIterator[Chunk], count: int) -> list[tuple[int, int, bytes]]:
    found: list[tuple[int, int, bytes]] = []
    with anyio.fail_after(PATIENCE_S):
        async for chunk in chunks:
            found.append((chunk.attempt, chunk.offset, chunk.body))
            if len(found) == count:
                break
    return found


def say(tap: Tap, first: int, last: int) -> list[tuple[int, int, bytes]]:
    for n in range(first, last + 1):
        tap.emit(b"%d" % n)
    return [(1, n, b"%d" % n) for n in range(first, last + 1)]


async def test_chunks_are_read_live_and_kept_and_after_any_offset_until_the_end(stack: Stack) -> None:
    async with own_bus(stack.servers) as bus, tapped(bus) as taps:
        tap = taps.open(HERE, KEY, 1, "job")
        other = taps.open(HERE, "worker/w1@2.0", 1, "job")
        live = reader(bus).read(HERE, KEY)  # Before there is any stream.
        first, said = list[tuple[int, int, bytes]](), list[tuple[int, int, bytes]]()
        async with anyio.create_task_group() as group:

            async def follow() -> None:
                first.extend(await some(live, 150))

            group.start_soon(follow)
            said += say(tap, 0, 99)
            other.emit(Job("another effect"))
            said += say(tap, 100, 149)
        assert first == said
        assert await some(reader(bus).read(HERE, KEY, after=120), 29) == said[121:]
        await bus.client.publish(tap_subject(HERE, bus.root), b"no chunk of anybody's")
        again = taps.open(HERE, KEY, 2, "job")
        again.emit(b"anew")
        again.end()
        rest = [chunk async for chunk in reader(bus).read(HERE, KEY, after=147, attempt=1)]
        assert [(c.attempt, c.offset) for c in rest] == [(1, 148), (1, 149), (2, 0)], "and it ends"
        every = await some(reader(bus).read(HERE), 152)
        assert (1, 0, b'{"type":"counting.job","job":"another effect"}') in every
        await remove_taps(bus)
        await remove_taps(bus)


async def test_a_reader_goes_on_without_a_gap_across_a_restart_of_the_server(stack: Stack) -> None:
    async with own_bus(stack.servers) as bus, tapped(bus) as taps:
        tap = taps.open(HERE, KEY, 1, "job")
        chunks = reader(bus).read(HERE, KEY)
        said = say(tap, 0, 9)
        assert await some(chunks_of(chunks), 10) == said
        stack.kill("nats")
        said = say(tap, 10, 19)
        await stack.start()
        assert await some(chunks_of(chunks), 10) == said, "what was emitted meanwhile comes, and nothing twice"
        with pytest.raises(TapGone) as gone:
            await some(reader(bus).read(HERE, KEY, after=4, attempt=1), 1)
        assert (gone.value.offset, gone.value.found) == (5, 10), "what the server had kept in memory is gone"
        assert await some(reader(bus).read(HERE, KEY, after=None), 10) == said
        await chunks.aclose()


def chunks_of(chunks: AsyncGenerator[Chunk]) -> AsyncIterator[Chunk]:
    """The same reader, which `some` is not to close."""

    class Going:
        def __aiter__(self) -> "Going":
            return self

        async def __anext__(self) -> Chunk:
            return await anext(chunks)

    return Going()


async def test_what_does_not_fit_is_dropped_and_its_reader_is_told(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_taps, "WAITING_CHUNKS_MAX", 5)
    metrics = RuntimeMetrics()
    async with own_bus(stack.servers) as bus, tapped(bus, metrics) as taps:
        tap = taps.open(HERE, KEY, 1, "job")
        said = say(tap, 0, 9)
        tap.end()
        with pytest.raises(TapGone) as gone:
            await some(reader(bus).read(HERE, KEY), 11)
        assert (gone.value.offset, gone.value.found) == (5, 10), "the end says how many there were"
        assert await some(reader(bus).read(HERE, KEY), 5) == said[:5]
        tap.emit(b"x" * (nats_taps.CHUNK_BYTES_MAX + 1))
    sample = metrics.registry.get_sample_value
    assert sample("troupe_tap_chunks_total", {"effect": "job", "outcome": "dropped"}) == 6
    assert sample("troupe_tap_chunks_total", {"effect": "job", "outcome": "published"}) == 5
