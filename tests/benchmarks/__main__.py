"""bin/bench NAME: run one benchmark and print its JSON object on stdout."""

import json
import sys

import anyio

from tests.benchmarks import assignment, footprint
from tests.benchmarks.report import conditions

BENCHMARKS = {"assignment": assignment.measure, "footprint": footprint.measure}


def main() -> int:
    names = sys.argv[1:]
    if len(names) != 1 or names[0] not in BENCHMARKS:
        sys.stderr.write(f"usage: bin/bench NAME, where NAME is one of: {', '.join(BENCHMARKS)}\n")
        return 2
    name = names[0]
    found = {"name": name, "conditions": conditions(), **anyio.run(BENCHMARKS[name])}
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
