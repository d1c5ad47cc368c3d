"""bin/torture --seconds N [--seed S] [--workers W] [--keep FOLDER]: break everything, and judge what is left.

One JSON object on standard output, progress on standard error. Exit status 1 when a checker fails, 130 when stopped.
"""

import argparse
import json
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import structlog

from tests.torture.plan import SORTS
from tests.torture.run import Options, torture

STOPPED = 130
WITHOUT = "TROUPE_TORTURE_WITHOUT"  # A guarantee that the workers are to break: the tests of the checkers set it.


def main() -> int:
    options = _options(sys.argv[1:])
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    found = anyio.run(_until_stopped, options)
    if found is None:
        return STOPPED
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0 if found["passed"] else 1


async def _until_stopped(options: Options) -> dict[str, Any] | None:
    found: dict[str, Any] | None = None
    async with anyio.create_task_group() as group:

        async def stop() -> None:
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    group.cancel_scope.cancel()
                    return

        group.start_soon(stop)
        found = await torture(options)
        group.cancel_scope.cancel()
    return found


def _options(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="bin/torture", description="Break everything, and judge what is left.")
    parser.add_argument("--seconds", type=float, required=True, help="how long things go wrong")
    parser.add_argument("--seed", type=int, help="what goes wrong, and when (default: any)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes (default: 3)")
    parser.add_argument("--keep", type=Path, help="a folder for the logs of the workers")
    parser.add_argument("--faults", default="", help=f"only these, with commas between: {', '.join(SORTS)}")
    given = parser.parse_args(arguments)
    faults = tuple(sort for sort in given.faults.split(",") if sort)
    if unknown := set(faults) - set(SORTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    if given.seconds <= 0 or given.workers < 1:
        parser.error("--seconds must be above 0, --workers at least 1")
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    return Options(given.seconds, seed, given.workers, given.keep, os.environ.get(WITHOUT, ""), faults)


if __name__ == "__main__":
    sys.exit(main())
