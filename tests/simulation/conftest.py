"""The fixture with which kinds of actors are tested in a simulation.

    def test_my_kinds_survive_anything(simulation: Simulation) -> None:
        for seed in range(20):
            simulation(KINDS, performers, seed=seed, workload=workload).check()

`simulation` is `actors.runtime.simulated.simulate`; a trace of every world that failed its checks is left in the test's
folder, and the test's output names it. Use it in plain tests: a simulation brings its own event loop.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.simulated import Outcome, simulate


class Simulation:
    """`simulate`, which keeps the traces of what failed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.failed: list[Path] = []

    def __call__(self, *args: Any, **options: Any) -> Outcome:
        outcome = simulate(*args, **options)
        if outcome.problems:
            self.failed.append(outcome.write(self._folder))
        return outcome


@pytest.fixture
def simulation(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Simulation]:
    """Run worlds; see above."""
    used = Simulation(tmp_path)
    yield used
    for path in used.failed:
        request.node.add_report_section("call", "simulation", f"trace of a world that failed: {path}")
