"""Interleaved rounds: each lane runs once a round, so that what disturbs the machine disturbs all of them alike."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.report import figure
from tests.benchmarks.store.server import Server

Work = Callable[[], Awaitable[tuple[int, float]]]  # Does something for a while; how many events, and the seconds.


@dataclass(frozen=True)
class Lane:
    """Something that is measured. `slow_disk`: while the server's disk is made slow."""

    name: str
    work: Work
    slow_disk: bool = False


@dataclass(frozen=True)
class Sample:
    """What one run of a lane came to, a second or an event."""

    per_s: float
    client_us: float
    server_us: float
    wal_bytes: float


@dataclass
class Rounds:
    """All samples, by lane, in the order of the rounds."""

    samples: dict[str, list[Sample]] = field(default_factory=dict[str, list[Sample]])

    async def run(self, server: Server, lanes: Sequence[Lane], rounds: int) -> None:
        """`rounds` rounds; the lanes with a slow disk come last in each."""
        for _ in range(rounds):
            for lane in (lane for lane in lanes if not lane.slow_disk):
                await self._measure(server, lane)
            slow = [lane for lane in lanes if lane.slow_disk]
            if slow:
                await server.slow_disk(True)
                for lane in slow:
                    await self._measure(server, lane)
                await server.slow_disk(False)

    async def _measure(self, server: Server, lane: Lane) -> None:
        before = await server.cost()
        events, seconds = await lane.work()
        cost = await server.cost() - before
        self.samples.setdefault(lane.name, []).append(
            Sample(
                events / seconds, cost.client_s / events * 1e6, cost.server_s / events * 1e6, cost.wal_bytes / events
            )
        )

    def values(self, lane: str, what: Callable[[Sample], float] = lambda sample: sample.per_s) -> list[float]:
        return [what(sample) for sample in self.samples[lane]]

    def ratios(self, lane: str, to: str) -> list[float]:
        """How many times as fast, round by round."""
        return [a / b for a, b in zip(self.values(lane), self.values(to), strict=True)]

    def drops(self, lane: str, to: str) -> list[float]:
        """What share of the speed is lost, round by round."""
        return [1 - a for a in self.ratios(lane, to)]

    def figures(self) -> dict[str, Any]:
        """Rates, processor time and WAL of every lane."""
        found: dict[str, Any] = {}
        for name in self.samples:
            found[f"{name}_per_s"] = figure(self.values(name), "events/s")
            found[f"{name}_client_cpu_us"] = figure(self.values(name, lambda s: s.client_us), "µs/event")
            found[f"{name}_server_cpu_us"] = figure(self.values(name, lambda s: s.server_us), "µs/event")
            found[f"{name}_wal_bytes"] = figure(self.values(name, lambda s: s.wal_bytes), "bytes/event")
        return found


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)
