"""What a company does besides answering: share its work, outlive a kill, wake an actor, hold many, and wait."""

from collections.abc import Mapping
from time import perf_counter

import anyio

from actors.runtime.folding import Fold
from actors.runtime.ownership import LEASE_TTL_S
from eventstore.postgres.store import PostgresStore
from protocol.subjects import Address, partition_of
from tests.benchmarks.runtime.asks import KIND, PROJECT, Asked, Asks
from tests.benchmarks.runtime.children import rss_bytes, wakeups
from tests.benchmarks.runtime.company import Place, asking, hosting, several, warm
from tests.benchmarks.runtime.lanes import ask
from tests.kit.counting import COUNTER

SHARED_IN_FLIGHT = 1_024  # Enough that four workers have batches too.
LONG_IN_FLIGHT = 64
ACTIVATIONS = 20
SETTLE_S_MAX = 3.0


async def workers(
    place: Place, counts: list[int], actors: int, seconds: float, rounds: int
) -> list[Mapping[str, float]]:
    """Processor time of the workers an ask takes, for each number of workers, round by round."""
    found: list[Mapping[str, float]] = []
    for n in range(rounds):
        numbers: dict[str, float] = {}
        for count in counts:
            async with several(place, "bench_shared", count) as running, asking(place, "bench_shared") as asker:
                if n == 0:
                    await warm(asker, actors)
                await warm(asker, actors)
                name = f"workers_{count}_ask_{SHARED_IN_FLIGHT}"
                numbers |= await ask(place, asker, running, name, SHARED_IN_FLIGHT, actors, seconds)()
        found.append(numbers)
    return found


async def takeover(place: Place) -> Mapping[str, float]:
    """From kill -9 of one of two workers to the next commit in one of its partitions: an ask to an actor there is
    answered after its commit."""
    root = "bench_takeover"
    async with several(place, root, 2) as (victim, _), asking(place, root) as asker:
        async with PostgresStore.open(place.postgres_dsn, root, prepare=False) as store:
            roster = await store.workers.roster()
        owner = next(w.id for w in roster.workers if w.pid == victim.pid)
        theirs = {h.partition for h in roster.holdings if h.owner == owner}
        first = next(n for n in range(10_000) if partition_of(Address(PROJECT, KIND, f"c{n}")) in theirs)
        await warm(asker, 1, first)
        killed_at = perf_counter()
        victim.kill()
        await victim.ended()
        await asker.ask(Asks(1, 0, 1, first, times=1), Asked)
        took_s = perf_counter() - killed_at
        return {"takeover_s": took_s, "takeover_vs_ttl": took_s / LEASE_TTL_S}


async def activation(place: Place, events: int) -> Mapping[str, float]:
    """An actor with so many events comes to life from its snapshot and the events after it, as after a restart."""
    root, address = "bench_activation", Address(PROJECT, KIND, "c0")
    async with hosting(place, root), asking(place, root) as asker:
        await asker.ask(Asks(LONG_IN_FLIGHT, 0, 1, times=events), Asked)
    took: list[float] = []
    async with PostgresStore.open(place.postgres_dsn, root, prepare=False) as store:
        for _ in range(ACTIVATIONS):
            folding, started = Fold(store, COUNTER, address), perf_counter()
            loaded = await folding.finish()
            took.append(1e3 * (perf_counter() - started))
            assert loaded.version == events, f"the actor has {loaded.version} events, {events} were asked for"
    took.sort()
    return {"activation_p50_ms": took[len(took) // 2], "activation_worst_ms": took[-1]}


async def many(place: Place, actors: int, cache_mb: list[int]) -> Mapping[str, float]:
    """So many actors have each answered once, in a process whose cache is bounded: how big it is then, and how big it
    was when a tenth of them had."""
    numbers: dict[str, float] = {}
    for megabytes in cache_mb:
        root = f"bench_many_{megabytes}"
        async with hosting(place, root, cache_bytes=megabytes * 1024 * 1024) as worker, asking(place, root) as asker:
            numbers[f"many_cache_{megabytes}_empty_mb"] = rss_bytes(worker.pid) / 1e6
            await warm(asker, actors // 10)
            numbers[f"many_cache_{megabytes}_tenth_mb"] = rss_bytes(worker.pid) / 1e6
            asked = await warm(asker, actors - actors // 10, actors // 10)
            numbers[f"many_cache_{megabytes}_all_mb"] = rss_bytes(worker.pid) / 1e6
            numbers[f"many_cache_{megabytes}_first_asks_per_s"] = asked.asks / asked.seconds
    return numbers


async def idle(place: Place, seconds: float) -> Mapping[str, float]:
    """A worker that nobody asks anything."""
    async with hosting(place, "bench_idle") as worker, asking(place, "bench_idle") as asker:
        await warm(asker, 10)
        await anyio.sleep(min(SETTLE_S_MAX, seconds))
        cpu, woken, servers, started = worker.cpu_s(), wakeups(worker.pid), place.servers_cpu_s(), perf_counter()
        await anyio.sleep(seconds)
        lasted, after = perf_counter() - started, place.servers_cpu_s()
        return {
            "idle_worker_cpu_percent": 100 * (worker.cpu_s() - cpu) / lasted,
            "idle_worker_wakeups_per_s": (wakeups(worker.pid) - woken) / lasted,
            "idle_postgres_cpu_percent": 100 * (after[0] - servers[0]) / lasted,
            "idle_nats_cpu_percent": 100 * (after[1] - servers[1]) / lasted,
            "idle_worker_mb": rss_bytes(worker.pid) / 1e6,
        }
