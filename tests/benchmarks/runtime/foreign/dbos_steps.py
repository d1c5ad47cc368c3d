"""DBOS: durable steps, so many workflows at once, each step after step for a while. Run by a Python that has `dbos`.

A step is the unit DBOS makes durable: its result is committed before the next begins. One line in (a JSON object), one
line out for each further line: how many steps, in how many seconds.
"""
# pyright: basic, reportMissingImports=false

import json
import sys
import time

from dbos import DBOS

settings = json.loads(sys.stdin.readline())
IN_FLIGHT = settings["in_flight"]


@DBOS.step()
def add(total: int) -> int:
    return total + 1


@DBOS.workflow()
def count(seconds: float) -> int:
    until, total = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        total = add(total)
    return total


def measure(seconds: float) -> tuple[int, float]:
    started = time.perf_counter()
    handles = [DBOS.start_workflow(count, seconds) for _ in range(IN_FLIGHT)]
    steps = sum(handle.get_result() for handle in handles)
    return steps, time.perf_counter() - started


def main() -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": settings["postgres_dsn"],
            "log_level": "WARNING",
            "run_admin_server": False,
            "sys_db_pool_size": 2 * IN_FLIGHT,
        }
    )
    DBOS.launch()
    try:
        measure(1.0)
        sys.stdout.write(json.dumps("ready") + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            # A workflow's own bookkeeping at its end counts as little as it costs: the steps' own time is what counts.
            seconds = json.loads(line)
            steps, _ = measure(seconds)
            sys.stdout.write(json.dumps({"count": steps, "seconds": seconds}) + "\n")
            sys.stdout.flush()
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    main()
