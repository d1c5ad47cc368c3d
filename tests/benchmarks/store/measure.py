"""What is measured in which order, and which ratios come of it."""

import argparse
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import anyio
import anyio.to_thread

from eventstore.postgres import optimistic
from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent, Unit
from protocol.subjects import Address
from tests.benchmarks.report import figure
from tests.benchmarks.store import stored
from tests.benchmarks.store.peers import PAGE, Copy, EventSourcing
from tests.benchmarks.store.rounds import Lane, Rounds, Work, median
from tests.benchmarks.store.server import Server, bench_server
from tests.benchmarks.store.writers import Company

ROUNDS = 5
SECONDS = 1.5
EVENTS = (100_000, 1_000_000)
COPY_5000_STREAMS = 500  # With ten events each: COPY's rows of one commit for batches of ten.
IMPORT_EVENTS_A_SECOND = 50_000  # So that a run takes about as long as the other lanes.
PEER_SCHEMA = stored.PEERS


async def measure(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """On uvloop where it is installed, all lanes alike; in a thread of its own, whatever the caller runs on."""
    options = _parser().parse_args(arguments)
    there = find_spec("uvloop") is not None

    def run() -> dict[str, Any]:
        return anyio.run(_measure, options, backend_options={"use_uvloop": there})

    found = await anyio.to_thread.run_sync(run)
    loop = f"uvloop {version('uvloop')}" if there else "asyncio"
    found["figures"]["event_loop"] = {"value": loop, "unit": "version"}
    return found


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    first, *others = [stored.whole(int(n)) for n in options.events.split(",")]
    rounds = Rounds()
    spread: dict[str, list[float]] = {}
    async with bench_server() as server:
        async with _lanes(server, first, options.seconds) as lanes:
            await Rounds().run(server, lanes, 1)  # Plans, pools and caches, as any running company has them.
            await server.settled()
            await rounds.run(server, lanes, options.rounds)
        spread |= _against_peers(rounds) | _costs(rounds)
        for events in others:
            spread |= await _at_size(server, rounds, first, events, options)
    figures = rounds.figures() | {name: figure(values, _unit(name)) for name, values in spread.items()}
    figures["stored_events"] = {"value": first, "unit": "events"}
    figures["eventsourcing_version"] = {"value": version("eventsourcing"), "unit": "version"}
    return {"figures": figures, "ratios": {name: median(values) for name, values in spread.items()}}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/bench store", description="The event store against its peers.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved rounds (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each lane in a round (default %(default)s)")
    parser.add_argument(
        "--events", default=",".join(map(str, EVENTS)), help="stored events, comma-separated (default %(default)s)"
    )
    return parser


@asynccontextmanager
async def _lanes(server: Server, events: int, seconds: float) -> AsyncGenerator[list[Lane]]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_filled(server, events))
        unchained = await stack.enter_async_context(_unchained(server, events))
        await stored.fill_copy(server.run, store.schema, "copied", events)
        peer = EventSourcing(server.dsn, PEER_SCHEMA)
        stack.callback(peer.close)
        await stored.fill_eventsourcing(server.run, store.schema, PEER_SCHEMA)
        await server.settled()
        company, without = await Company.of(store), await Company.of(unchained)
        copy = Copy(server.run, "copied", events)

        def eventsourcing() -> Any:
            return peer.write(seconds)

        yield [
            Lane("append_1024x1", lambda: company.write(seconds, 1_024, 1)),
            Lane("eventsourcing", eventsourcing),
            Lane("copy_1024x1", lambda: copy.write(seconds, 1_024, 1)),
            Lane("plain_append_1024x1", lambda: company.append(seconds, 1_024, 1)),
            Lane("append_1024x1_without_chain", _digestless(lambda: without.write(seconds, 1_024, 1))),
            Lane("append_1024x1_with_sends", lambda: company.write(seconds, 1_024, 1, sends=True)),
            Lane("append_256x10", lambda: company.write(seconds, 256, 10)),
            Lane("copy_500x10", lambda: copy.write(seconds, COPY_5000_STREAMS, 10)),
            Lane("plain_append_256x10", lambda: company.append(seconds, 256, 10)),
            Lane("replay", lambda: _replay(store, events)),
            Lane("eventsourcing_replay", lambda: peer.read(events)),
            Lane("import", lambda: _import(store, company, round(seconds * IMPORT_EVENTS_A_SECOND))),
            Lane("append_1024x1_slow_disk", lambda: company.write(seconds, 1_024, 1), slow_disk=True),
            Lane("eventsourcing_slow_disk", eventsourcing, slow_disk=True),
            Lane("plain_append_1024x1_slow_disk", lambda: company.append(seconds, 1_024, 1), slow_disk=True),
        ]


def _against_peers(rounds: Rounds) -> dict[str, list[float]]:
    """The keys of DESIGN §7, for the full commit and for the plain path."""
    found: dict[str, list[float]] = {}
    for path, key in (("append", "append"), ("plain_append", "plain_append")):
        found |= {
            f"{key}_1024x1_vs_eventsourcing": rounds.ratios(f"{path}_1024x1", "eventsourcing"),
            f"{key}_1024x1_slow_disk_vs_eventsourcing": rounds.ratios(
                f"{path}_1024x1_slow_disk", "eventsourcing_slow_disk"
            ),
            f"{key}_1024x1_vs_copy": rounds.ratios(f"{path}_1024x1", "copy_1024x1"),
            f"{key}_256x10_vs_copy": rounds.ratios(f"{path}_256x10", "copy_500x10"),
            f"{key}_1024x1_slow_disk_drop": rounds.drops(f"{path}_1024x1_slow_disk", f"{path}_1024x1"),
            f"{key}_1024x1_wal_bytes": rounds.values(f"{path}_1024x1", lambda s: s.wal_bytes),
            f"{key}_256x10_wal_bytes": rounds.values(f"{path}_256x10", lambda s: s.wal_bytes),
            f"{key}_1024x1_cpu_us": rounds.values(f"{path}_1024x1", lambda s: s.client_us + s.server_us),
            f"{key}_256x10_cpu_us": rounds.values(f"{path}_256x10", lambda s: s.client_us + s.server_us),
        }
    return found


def _costs(rounds: Rounds) -> dict[str, list[float]]:
    def cpu(lane: str) -> list[float]:
        return rounds.values(lane, lambda s: s.client_us + s.server_us)

    return {
        "replay_vs_eventsourcing": rounds.ratios("replay", "eventsourcing_replay"),
        "import_vs_copy": rounds.ratios("import", "copy_500x10"),
        "append_1024x1_with_sends_vs_eventsourcing": rounds.ratios("append_1024x1_with_sends", "eventsourcing"),
        "append_1024x1_with_sends_vs_copy": rounds.ratios("append_1024x1_with_sends", "copy_1024x1"),
        "chain_cost": rounds.drops("append_1024x1", "append_1024x1_without_chain"),
        "chain_cpu_cost": [
            1 - b / a for a, b in zip(cpu("append_1024x1"), cpu("append_1024x1_without_chain"), strict=True)
        ],
    }


async def _at_size(
    server: Server, rounds: Rounds, first: int, events: int, options: argparse.Namespace
) -> dict[str, list[float]]:
    """The same writing with more stored, against the first size, in rounds of their own."""
    async with _filled(server, events) as big, _opened(server, first) as small:
        large, little = await Company.of(big), await Company.of(small)
        lanes: list[Lane] = []
        for name, company in ((f"at_{first}", little), (f"at_{events}", large)):
            lanes += [
                Lane(f"append_1024x1_{name}_of_{events}", lambda c=company: c.write(options.seconds, 1_024, 1)),
                Lane(f"append_256x10_{name}_of_{events}", lambda c=company: c.write(options.seconds, 256, 10)),
                Lane(f"plain_append_1024x1_{name}_of_{events}", lambda c=company: c.append(options.seconds, 1_024, 1)),
            ]
        await server.settled()
        await Rounds().run(server, lanes, 1)
        await rounds.run(server, lanes, options.rounds)
    return {
        f"{path}_drop_at_{events}": rounds.drops(f"{path}_at_{events}_of_{events}", f"{path}_at_{first}_of_{events}")
        for path in ("append_1024x1", "append_256x10", "plain_append_1024x1")
    }


def _unit(name: str) -> str:
    for ending, unit in (
        ("_wal_bytes", "bytes/event"),
        ("_cpu_us", "µs/event"),
        ("_drop", "share"),
        ("_cost", "share"),
    ):
        if name.endswith(ending) or f"{ending}_at_" in name:
            return unit
    return "times"


def _schema(events: int) -> str:
    return f"bench_{events}"


@asynccontextmanager
async def _opened(server: Server, events: int) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(server.dsn, _schema(events)) as store:
        yield store


@asynccontextmanager
async def _filled(server: Server, events: int) -> AsyncGenerator[PostgresStore]:
    async with _opened(server, events) as store:
        await stored.fill(server.run, store.schema, events)
        await server.settled()
        yield store


@asynccontextmanager
async def _unchained(server: Server, events: int) -> AsyncGenerator[PostgresStore]:
    """As much stored, and a `seal_at` that links nothing."""
    async with PostgresStore.open(server.dsn, "bench_unchained") as store:
        await stored.fill(server.run, store.schema, events)
        await server.run.execute(stored.UNCHAINED.format(schema=store.schema))
        yield store


def _digestless(work: Work) -> Work:
    """The work while the client makes no digests."""

    async def run() -> tuple[int, float]:
        made: Callable[..., bytes | None] = optimistic.chain_digest
        optimistic.chain_digest = _no_digest
        try:
            return await work()
        finally:
            optimistic.chain_digest = made

    return run


def _no_digest(units: Iterable[Unit]) -> bytes | None:
    del units
    return None


async def _replay(store: PostgresStore, events: int) -> tuple[int, float]:
    started, after = perf_counter(), 0
    while after < events:
        after = (await store.read(after, PAGE))[-1].position
    return after, perf_counter() - started


async def _import(store: PostgresStore, company: Company, events: int) -> tuple[int, float]:
    async def source() -> AsyncIterator[tuple[Address, NewEvent]]:
        for each in company.history(events):
            yield each

    started = perf_counter()
    return await store.archive.import_events(source()), perf_counter() - started
