"""bin/bench NAME [OPTIONS]: run one benchmark and print its JSON object on stdout."""

import json
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio
import structlog

from tests.benchmarks import assignment, footprint, store
from tests.benchmarks.projections.measure import measure as projections
from tests.benchmarks.report import conditions
from tests.benchmarks.runtime.measure import measure as runtime

BENCHMARKS: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
    "assignment": assignment.measure,
    "footprint": footprint.measure,
}
WITH_OPTIONS: dict[str, Callable[[Sequence[str]], Awaitable[dict[str, Any]]]] = {
    "projections": projections,
    "runtime": runtime,
    "store": store.measure,
}


def main() -> int:
    name, *options = sys.argv[1:] or [""]
    if name in WITH_OPTIONS:
        run = partial(WITH_OPTIONS[name], options)
    elif name in BENCHMARKS and not options:
        run = BENCHMARKS[name]
    else:
        sys.stderr.write(f"usage: bin/bench NAME, where NAME is one of: {', '.join([*BENCHMARKS, *WITH_OPTIONS])}\n")
        return 2
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # On stdout there is the JSON object alone.
    )
    found = {"name": name, "conditions": conditions(), **anyio.run(run)}
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
