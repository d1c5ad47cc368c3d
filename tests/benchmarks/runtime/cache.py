"""What actors cost that are addressed once, and how soon one with a long history is back.

- cache_growth_*_mb: growth of resident memory (10⁶ bytes) while so many actors are addressed one after the other (10⁶
under 64 MiB, 10⁵ under 16 MiB) in a process of its own; cache_growth_over_bound_*: the same over the bound.
- cache_held_*: how many of them were in memory at the end.
- activation_10000_events_ms: an actor with 10⁴ events comes to life from its snapshot and the TAIL_EVENTS after it, on
a real PostgreSQL; activation_10000_events_folded_ms: without a snapshot.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import msgspec

from actors.runtime.activation import ActorCache, CacheLimits
from actors.runtime.folding import SNAPSHOT_EVERY_EVENTS, keep_snapshot
from actors.runtime.kind import Kind, Kinds
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.turn import Loaded
from eventstore.memory.store import MemoryStore
from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent
from protocol.codec import encode
from protocol.message import Command, Event
from protocol.subjects import Address
from tests.benchmarks.report import figure
from tests.benchmarks.store.server import bench_server
from tests.kit.units import NOON

BATCH = 1_000
CASES = ((1_000_000, 64), (100_000, 16))  # Addresses, and the bound in MiB.
EVENTS = 10_000
TAIL_EVENTS = SNAPSHOT_EVERY_EVENTS - 1  # The worst case: the next one would have brought a new snapshot.
ACTIVATIONS = 30
PROCESS_S_MAX = 600.0
_ROOT = Path(__file__).parents[3]


class Note(Command, frozen=True, tag="noter.note.v1"):
    text: str


class Noted(Event, frozen=True, tag="noter.noted.v1"):
    n: int
    text: str


class Notes(msgspec.Struct, frozen=True):
    """What a small actor may know: some names, and the last few things that happened."""

    name: str
    total: int = 0
    last: tuple[str, ...] = ()


def _initial(address: Address) -> Notes:
    return Notes(address.name, 0, tuple(f"{address.name} saw {n}" for n in range(8)))


def _decide(state: Notes, command: Note) -> tuple[Event, ...]:
    return (Noted(state.total, command.text),)


def _evolve(state: Notes, event: Noted) -> Notes:
    return Notes(state.name, state.total + event.n, (*state.last[1:], event.text))


def _react(_: Notes, __: Noted) -> tuple[()]:
    return ()


NOTER: Kind[Any] = Kind("noter", (Note,), (Noted,), _initial, _decide, _evolve, _react, state=Notes)
KINDS: Kinds = {"noter": NOTER}


async def measure_cache(cases: Sequence[tuple[int, int]] = CASES) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for addresses, bound in cases:
        grown = await anyio.to_thread.run_sync(_in_a_process_of_its_own, addresses, bound)
        megabytes = grown["grown_bytes"] / 1e6
        figures[f"cache_growth_{bound}mib_mb"] = figure([megabytes], "MB")
        figures[f"cache_growth_over_bound_{bound}mib"] = figure([grown["grown_bytes"] / (bound * 2**20)], "")
        figures[f"cache_held_{bound}mib"] = figure([grown["held"]], "actors")
    return figures | await _activation()


def _in_a_process_of_its_own(addresses: int, bound_mib: int) -> dict[str, int]:
    command = [sys.executable, "-P", "-m", __name__, str(addresses), str(bound_mib)]
    environment = {"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, check=True, capture_output=True, timeout=PROCESS_S_MAX, cwd=_ROOT, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


async def _address(addresses: int, bound_mib: int) -> dict[str, int]:
    """Address so many actors, a batch at a time, each of which takes one event in."""
    cache = ActorCache(MemoryStore(), KINDS, Mailboxes(), CacheLimits(bound_mib * 2**20))
    before = 0
    for first in range(0, addresses, BATCH):
        batch = [Address("bench", "noter", f"n{n}") for n in range(first, min(first + BATCH, addresses))]
        await cache.load(batch)
        for address in batch:
            loaded = cache.get(address)
            assert loaded is not None
            event = Noted(1, f"{address.name} was told")
            cache.remember(address, Loaded(_evolve(loaded.state, event), 1), len(encode(event)))
        cache.unpin()
        before = before or _rss_bytes()
    return {"grown_bytes": _rss_bytes() - before, "held": len(cache)}


def _rss_bytes() -> int:
    """Resident memory of this process. Source: proc(5)."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmRSS")


async def _activation() -> dict[str, Any]:
    async with bench_server() as server, PostgresStore.open(server.dsn) as store:
        address = Address("bench", "noter", "long")
        event = NewEvent("noter.noted.v1", encode(Noted(1, "x" * 100)), NOON, "run", "c1")
        for _ in range(0, EVENTS, 1_000):
            await store.append(address, [event] * 1_000)
        folded = [await _load_ms(store, address) for _ in range(3)]
        state = _initial(address)
        for _ in range(EVENTS - TAIL_EVENTS):
            state = _evolve(state, Noted(1, "x" * 100))
        await keep_snapshot(store, NOTER, address, Loaded(state, EVENTS - TAIL_EVENTS))
        from_snapshot = [await _load_ms(store, address) for _ in range(ACTIVATIONS)]
    return {
        "activation_10000_events_ms": figure(from_snapshot, "ms"),
        "activation_10000_events_folded_ms": figure(folded, "ms"),
    }


async def _load_ms(store: PostgresStore, address: Address) -> float:
    cache = ActorCache(store, KINDS, Mailboxes())
    started = perf_counter()
    await cache.load([address])
    taken = (perf_counter() - started) * 1000
    loaded = cache.get(address)
    assert loaded is not None
    assert (loaded.version, loaded.state.total) == (EVENTS, EVENTS)
    return taken


if __name__ == "__main__":
    print(json.dumps(anyio.run(_address, int(sys.argv[1]), int(sys.argv[2]))))  # noqa: T201
