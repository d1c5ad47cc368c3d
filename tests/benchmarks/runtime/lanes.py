"""Asks beside the peers and the floor, interleaved: each lane is a measurement of some seconds."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.benchmarks.runtime import floors, peers
from tests.benchmarks.runtime.asks import Asked, Asks
from tests.benchmarks.runtime.children import Child, child
from tests.benchmarks.runtime.company import Place, asking, hosting, warm
from tests.benchmarks.runtime.rounds import Lane

ROOT = "bench"
FLOORS = "tests.benchmarks.runtime.floors"


def ask(
    place: Place, asker: Child, workers: list[Child], name: str, in_flight: int, actors: int, seconds: float
) -> Lane:
    """So many asks in flight: how many a second, how long they took, and what processor time each took where."""

    async def measure() -> dict[str, float]:
        worker, servers = sum(w.cpu_s() for w in workers), place.servers_cpu_s()
        asked = await asker.ask(Asks(in_flight, seconds, actors), Asked)
        after = place.servers_cpu_s()
        return {
            f"{name}_per_s": asked.asks / asked.seconds,
            f"{name}_p50_ms": asked.p50_ms,
            f"{name}_p99_ms": asked.p99_ms,
            f"{name}_worker_cpu_us": 1e6 * (sum(w.cpu_s() for w in workers) - worker) / asked.asks,
            f"{name}_postgres_cpu_us": 1e6 * (after[0] - servers[0]) / asked.asks,
            f"{name}_nats_cpu_us": 1e6 * (after[1] - servers[1]) / asked.asks,
        }

    return measure


def floor(process: Child, name: str, seconds: float) -> Lane:
    async def measure() -> dict[str, float]:
        timed = await process.ask(seconds, floors.Timed)
        return {f"{name}_p50_ms": timed.p50_ms, f"{name}_p99_ms": timed.p99_ms}

    return measure


def peer(measured: peers.Peer, name: str, seconds: float) -> Lane:
    async def measure() -> dict[str, float]:
        counted = await measured.measure(seconds)
        return {f"{name}_per_s": counted.count / counted.seconds}

    return measure


@asynccontextmanager
async def side_by_side(
    place: Place, in_flight: list[int], actors: int, seconds: float, python: Path | None
) -> AsyncGenerator[list[Lane]]:
    """All lanes over processes that run until the end. `python` has the peers; None: without them."""
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(hosting(place, ROOT))
        asker = await stack.enter_async_context(asking(place, ROOT))
        await warm(asker, actors)
        lanes = [ask(place, asker, [worker], f"ask_{n}", n, actors, seconds) for n in in_flight]
        for role in ("echo", "request", "insert"):
            process = await stack.enter_async_context(child(FLOORS, place.floors, arguments=[role]))
            if role == "echo":
                await process.hear()
            else:
                lanes.append(floor(process, f"nats_{role}" if role == "request" else f"postgres_{role}", seconds))
        if python is not None:
            steps = await stack.enter_async_context(peers.dbos(place, python))
            agents = await stack.enter_async_context(peers.autogen(python, actors))
            lanes += [peer(steps, "dbos_16_steps", seconds), peer(agents, "autogen_64_grpc", seconds)]
        yield lanes
