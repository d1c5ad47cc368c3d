"""bin/simulate --seeds N [--seed S] [--kinds small|company]: one line for every seed that fails, and 1 if any does."""

import argparse
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.simulation.scenarios import PROCESSES, SCENARIOS, many


def main() -> int:
    parser = argparse.ArgumentParser("simulate", description="Runs the runtime in virtual time, with faults.")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many seeds (default: 1)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the first of them (default: 0)")
    parser.add_argument("--kinds", choices=sorted(SCENARIOS), default="small", help="what runs (default: small)")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N", help="cores to use (default: 2)")
    parser.add_argument(
        "--traces", type=Path, default=Path(tempfile.gettempdir(), "troupe-simulation"), metavar="FOLDER"
    )
    asked = parser.parse_args()
    if asked.seeds < 1 or asked.processes < 1:
        parser.error("--seeds and --processes are at least 1")
    if asked.seeds == 1:
        return _one(asked.kinds, asked.seed, asked.traces)
    started, failed = perf_counter(), 0
    folder = asked.traces / asked.kinds
    for told in many(asked.kinds, range(asked.seed, asked.seed + asked.seeds), folder, asked.processes):
        if told.problems:
            failed += 1
            first, *others = told.problems
            more = f" (and {len(others)} more)" if others else ""
            sys.stdout.write(
                f"seed {told.seed} failed: {first}{more} [{told.described}] trace: {told.trace} "
                f"again: bin/simulate --kinds {asked.kinds} --seed {told.seed}\n"
            )
            sys.stdout.flush()
    seconds = perf_counter() - started
    rate = asked.seeds / seconds
    sys.stdout.write(f"{asked.seeds} seeds of {asked.kinds}, {failed} failed, {seconds:.1f} s, {rate:.1f} seeds/s\n")
    return 1 if failed else 0


def _one(kinds: str, seed: int, folder: Path) -> int:
    """One seed, with all that is to be said of it."""
    outcome = SCENARIOS[kinds](seed)
    for problem in outcome.problems:
        sys.stdout.write(f"{problem}\n")
    digest = outcome.digest
    sys.stdout.write(
        f"seed {seed} of {kinds}: {'failed' if outcome.problems else 'holds'}, {outcome.workers} workers, "
        f"faults: {outcome.faults}; {len(outcome.log)} events in {outcome.virtual_s:.1f} virtual s, "
        f"{outcome.calls} steps; digest {digest}; trace {outcome.write(folder / kinds)}\n"
    )
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
