"""What is measured in which order, and which ratios come of it."""

import argparse
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from time import perf_counter
from typing import Any

import asyncpg

from eventstore.postgres.store import PostgresStore
from projections.asking import Asking
from projections.projector import Projector
from projections.queries import VIEWS
from projections.ranges import in_ranges
from projections.rebuild import rebuild
from tests.benchmarks.projections import asked, building, folding, lagging, mix
from tests.benchmarks.report import figure
from tests.benchmarks.runtime.company import Place, servers
from tests.benchmarks.runtime.rounds import Rounds, median, unit_of

ROUNDS = 3
SECONDS = 2.0
EVENTS = 1_000_000
FOLD_EVENTS = 200_000
PER_S = 2_000.0
LAG_SECONDS = 6.0
CALLS = 100
RANGES = "1,2,4"
PARTS = ("folded", "rebuild", "queries", "lag")
PAGE_EVENTS = 2_000


async def measure(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """On asyncio, as the company runs."""
    options = _parser().parse_args(arguments)
    parts = options.parts.split(",")
    rounds = Rounds()
    facts: dict[str, Any] = {"eventsourcing_version": {"value": version("eventsourcing"), "unit": "version"}}
    async with servers() as place:
        if "folded" in parts:
            facts |= await _folded(place, rounds, options)
        if "rebuild" in parts:
            facts |= await _rebuilt(place, rounds, options)
        if {"lag", "queries"} & {*parts}:
            facts |= await _reading(place, rounds, parts, options)
    ratios = _ratios(rounds, _numbers(options.ranges))
    figures = rounds.figures() | {name: figure(values, unit_of(name)) for name, values in ratios.items()}
    return {"figures": figures | facts, "ratios": {name: median(values) for name, values in ratios.items()}}


async def _folded(place: Place, rounds: Rounds, options: argparse.Namespace) -> dict[str, Any]:
    events = mix.whole(options.fold_events)
    async with (
        _filled(place, "bench_folded", events) as store,
        folding.side_by_side(store, events, options.seconds) as lanes,
    ):
        await rounds.run(lanes, options.rounds)
    return {"folded_events": {"value": events, "unit": "events"}}


async def _rebuilt(place: Place, rounds: Rounds, options: argparse.Namespace) -> dict[str, Any]:
    events = mix.whole(options.fold_events)
    async with _filled(place, "bench_rebuilt", events) as store:
        counts = _numbers(options.ranges)
        cold_s = await building.cold_s(store, events, max(counts))
        await rounds.run(building.lanes(store, events, counts), options.rounds)
    return {
        "rebuilt_events": {"value": events, "unit": "events"},
        "rebuild_cold_s": {"value": round(cold_s, 3), "unit": "s"},
    }


async def _reading(place: Place, rounds: Rounds, parts: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    events = mix.whole(options.events)
    facts: dict[str, Any] = {"stored_events": {"value": events, "unit": "events"}}
    async with _filled(place, "bench_read", events) as store:
        started = perf_counter()
        await _fold_all(store)
        facts["all_views_folded_s"] = {"value": round(perf_counter() - started, 3), "unit": "s"}
        await _settled(place)
        if "queries" in parts:
            facts |= await _queries(place, store, rounds, options)
        if "lag" in parts:
            block = events // mix.block_events()
            for _ in range(options.rounds):
                rounds.add(await lagging.lag(store, block, options.rate, options.lag_seconds))
                block += _blocks(options.rate * (lagging.WARM_S + options.lag_seconds))
    return facts


async def _queries(place: Place, store: PostgresStore, rounds: Rounds, options: argparse.Namespace) -> dict[str, Any]:
    asking, ours = Asking(store.pool), asked.Asked()
    lanes = await asked.lanes(store)
    await asked.Asked().round(asking, lanes, 1)  # Plans, pools and caches, as any running company has them.
    async with asked.over_nats(place, asking) as ask:
        for _ in range(options.rounds):
            rounds.add(await ours.round(asking, lanes, options.calls))
            rounds.add(await ask(options.calls))
    return {"query_slowest": {"value": sorted(ours.worst)[len(ours.worst) // 2][1], "unit": "name"}}


async def _fold_all(store: PostgresStore) -> None:
    """Every view up to the head: in ranges where a view allows it, the others together."""
    for view in VIEWS:
        if view.by_ranges:
            await rebuild(store, store.pool, view, in_ranges(store))
    await Projector(store, store.pool, VIEWS, page_events=PAGE_EVENTS).catch_up()


def _blocks(events: float) -> int:
    return mix.whole(int(events)) // mix.block_events() + 1


def _ratios(rounds: Rounds, counts: Sequence[int]) -> dict[str, list[float]]:
    """The keys of DESIGN, and what else is compared; what was not measured is not there."""
    folded = "folded_event_counts_per_s"
    found = {
        "folded_vs_tx_per_event": rounds.ratio(folded, "tx_per_event_per_s"),
        "folded_vs_tx_per_event_not_durable": rounds.ratio(folded, "tx_per_event_not_durable_per_s"),
        "folded_vs_tx_per_event_slow_disk": rounds.ratio(
            "folded_event_counts_slow_disk_per_s", "tx_per_event_slow_disk_per_s"
        ),
        "folded_vs_eventsourcing_projection": rounds.ratio(folded, "eventsourcing_projection_per_s"),
    }
    for ranges in (count for count in counts if count != 1):
        found[f"rebuild_{ranges}_vs_1"] = rounds.ratio(f"rebuild_all_{ranges}_per_s", "rebuild_all_1_per_s")
        for view in building.ALONE:
            name = f"rebuild_{view.name}"
            found[f"{name}_{ranges}_vs_1"] = rounds.ratio(f"{name}_{ranges}_per_s", f"{name}_1_per_s")
    for name in ("lag_p99_ms", "query_p99_ms"):
        found[name] = rounds.numbers.get(name, [])
    return {name: values for name, values in found.items() if values}


@asynccontextmanager
async def _filled(place: Place, schema: str, events: int) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore.open(place.postgres_dsn, schema) as store:
        started = perf_counter()
        stored = await mix.fill(store, events)
        assert stored == events, f"{stored} of {events} events were stored"
        sys.stderr.write(f"bench: {events} events stored in {perf_counter() - started:.0f} s\n")
        await _settled(place)
        yield store


async def _settled(place: Place) -> None:
    """No checkpoint and no vacuum owed by what was written before."""
    connection: Any = await asyncpg.connect(place.postgres_dsn)
    await connection.execute("vacuum analyze", timeout=None)
    await connection.execute("checkpoint", timeout=None)
    await connection.close()


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/bench projections", description="The views beside their peers.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved rounds (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a peer in a round (default %(default)s)")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, of %(default)s")
    parser.add_argument("--events", type=int, default=EVENTS, help="under reads and lag (default %(default)s)")
    parser.add_argument("--fold-events", type=int, default=FOLD_EVENTS, help="to fold, rebuild (default %(default)s)")
    parser.add_argument("--rate", type=float, default=PER_S, help="events a second for the lag (default %(default)s)")
    parser.add_argument("--lag-seconds", type=float, default=LAG_SECONDS, help="in a round (default %(default)s)")
    parser.add_argument("--ranges", default=RANGES, help="1 and others, comma-separated (default %(default)s)")
    parser.add_argument("--calls", type=int, default=CALLS, help="of each sort of read (default %(default)s)")
    return parser
