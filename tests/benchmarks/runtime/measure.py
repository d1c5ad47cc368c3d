"""What is measured in which order, and which ratios come of it."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.report import figure
from tests.benchmarks.runtime import living
from tests.benchmarks.runtime.company import Place, servers
from tests.benchmarks.runtime.lanes import side_by_side
from tests.benchmarks.runtime.peers import AUTOGEN_IN_FLIGHT, DBOS_IN_FLIGHT, PeersMissing, environment
from tests.benchmarks.runtime.rounds import Rounds, median, unit_of

ROUNDS = 5
SECONDS = 2.0
ACTORS = 4_096
IN_FLIGHT = "1,64,256,1024"
WORKERS = "1,2,4"
LONG_EVENTS = 10_000
MANY_ACTORS = 100_000  # More than either cache holds; a million take some ten minutes.
CACHES_MB = "4,16"
IDLE_S = 20.0
PARTS = ("asks", "workers", "takeover", "activation", "many", "idle")


async def measure(arguments: Sequence[str] = ()) -> dict[str, Any]:
    options = _parser().parse_args(arguments)
    parts = options.parts.split(",")
    python: Path | None = None
    if "asks" in parts and not options.without_peers:
        try:
            python = await environment()
        except PeersMissing as missing:
            raise SystemExit(f"bench: {missing}") from missing
    rounds = Rounds()
    async with servers() as place:
        if "asks" in parts:
            in_flight = _numbers(options.in_flight)
            async with side_by_side(place, in_flight, options.actors, options.seconds, python) as lanes:
                await Rounds().run(lanes, 1)  # Plans, pools and caches, as any running company has them.
                await rounds.run(lanes, options.rounds)
        await _the_rest(place, rounds, parts, options)
    ratios = _ratios(rounds)
    figures = rounds.figures() | {name: figure(values, unit_of(name)) for name, values in ratios.items()}
    return {"figures": figures, "ratios": {name: median(values) for name, values in ratios.items()}}


async def _the_rest(place: Place, rounds: Rounds, parts: Sequence[str], options: argparse.Namespace) -> None:
    if "workers" in parts:
        counts = _numbers(options.workers)
        for numbers in await living.workers(place, counts, options.actors, options.seconds, options.rounds):
            rounds.add(numbers)
    if "takeover" in parts:
        for _ in range(options.rounds):
            rounds.add(await living.takeover(place))
    if "activation" in parts:
        rounds.add(await living.activation(place, options.long_events))
    if "many" in parts:
        rounds.add(await living.many(place, options.many_actors, _numbers(options.caches_mb)))
    if "idle" in parts:
        rounds.add(await living.idle(place, options.idle_seconds))


def _ratios(rounds: Rounds) -> dict[str, list[float]]:
    """The keys of DESIGN, and what else is compared; what was not measured is not there."""
    found = {
        "ask_256_vs_dbos_steps": rounds.ratio("ask_256_per_s", f"dbos_{DBOS_IN_FLIGHT}_steps_per_s"),
        "ask_64_vs_autogen_grpc": rounds.ratio("ask_64_per_s", f"autogen_{AUTOGEN_IN_FLIGHT}_grpc_per_s"),
        "ask_1_p50_vs_floor": rounds.ratio("ask_1_p50_ms", "postgres_insert_p50_ms", "nats_request_p50_ms"),
        "takeover_vs_ttl": rounds.numbers.pop("takeover_vs_ttl", []),
        "activation_p50_ms": rounds.numbers.get("activation_p50_ms", []),
        "idle_worker_cpu_percent": rounds.numbers.get("idle_worker_cpu_percent", []),
    }
    one = f"workers_1_ask_{living.SHARED_IN_FLIGHT}_worker_cpu_us"
    for count in (2, 4):
        found[f"cpu_of_{count}_workers_vs_one"] = rounds.ratio(one.replace("_1_", f"_{count}_", 1), one)
    return {name: values for name, values in found.items() if values}


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/bench runtime", description="The runtime beside its peers.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved rounds (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each lane in a round (default %(default)s)")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, of %(default)s")
    parser.add_argument("--without-peers", action="store_true", help="measure only what is ours, and the floor")
    parser.add_argument("--in-flight", default=IN_FLIGHT, help="asks at once, comma-separated (default %(default)s)")
    parser.add_argument("--actors", type=int, default=ACTORS, help="that are asked in turn (default %(default)s)")
    parser.add_argument("--workers", default=WORKERS, help="processes that share the work (default %(default)s)")
    parser.add_argument("--long-events", type=int, default=LONG_EVENTS, help="of the long actor (default %(default)s)")
    parser.add_argument("--many-actors", type=int, default=MANY_ACTORS, help="of the many (default %(default)s)")
    parser.add_argument("--caches-mb", default=CACHES_MB, help="bounds of their cache (default %(default)s)")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_S, help="of silence (default %(default)s)")
    return parser
