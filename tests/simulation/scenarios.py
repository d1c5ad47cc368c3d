"""The worlds that are simulated: the three small kinds, and the whole company. And many seeds of one, on all cores."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.runtime.simulated import Outcome, simulate
from tests.simulation import company, kinds
from tests.simulation.workload import workload

PROCESSES = 2
SEEDS_AT_ONCE = 8


def small(seed: int) -> Outcome:
    """Three small kinds and some dozens of commands."""
    return simulate(kinds.KINDS, kinds.performers, seed=seed, workload=workload, heard=kinds.HEARD)


SCENARIOS: dict[str, Callable[[int], Outcome]] = {"small": small, "company": company.run}


@dataclass(frozen=True)
class Told:
    """What one process tells another of a seed. `trace` is a file, of a seed with problems only."""

    seed: int
    digest: str
    problems: tuple[str, ...]
    described: str
    trace: str


@dataclass(frozen=True)
class _Job:
    scenario: str
    folder: Path

    def __call__(self, seed: int) -> Told:
        outcome = SCENARIOS[self.scenario](seed)
        digest, trace = outcome.digest, str(outcome.write(self.folder)) if outcome.problems else ""
        described = f"{outcome.workers} workers, faults: {outcome.faults}"
        return Told(seed, digest, tuple(outcome.problems), described, trace)


def many(scenario: str, seeds: Iterable[int], folder: Path, processes: int = PROCESSES) -> Iterator[Told]:
    """Run these seeds, in the order in which they end."""
    job = _Job(scenario, folder)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(job, seeds, SEEDS_AT_ONCE)
