"""A process that appends a steady number of events a second, whether the log keeps up or not, and says when it did.

Its first line says where and how much; it says "ready", and begins at the next line. Events are appended in the order
of the history: what has come due goes into one commit, a unit each, as a company's writers share theirs.
"""

import asyncio
import sys
from itertools import islice
from time import monotonic
from typing import Any

import msgspec

from eventstore.postgres.store import PostgresStore
from eventstore.store import Append, StreamWrite
from tests.benchmarks.projections.mix import history

EVERY_S = 0.01  # Between two commits, unless one takes longer.


class Order(msgspec.Struct):
    """From which block of the history on, how many events a second, and for how long."""

    dsn: str
    schema: str
    first_block: int
    per_s: float
    seconds: float


class Written(msgspec.Struct):
    """Of every commit when it was acknowledged (of the system's monotonic clock), and its last position."""

    commits: list[tuple[float, int]]
    events: int
    seconds: float


async def _line() -> bytes:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.readline)


def _say(what: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


async def _write(store: PostgresStore, order: Order) -> Written:
    made = history(order.first_block)
    commits: list[tuple[float, int]] = []
    began, sent, turn = monotonic(), 0, 0
    while (now := monotonic()) < began + order.seconds:
        turn += 1
        due = int((now - began) * order.per_s) - sent
        if due:
            appends = [Append((StreamWrite(address, (event,)),)) for address, event in islice(made, due)]
            verdicts = await store.append_all(appends)
            assert all(verdict.status == "committed" for verdict in verdicts)
            commits.append((monotonic(), verdicts[-1].last_position))
            sent += due
        await asyncio.sleep(max(0.0, began + turn * EVERY_S - monotonic()))
    return Written(commits, sent, monotonic() - began)


async def main() -> None:
    order = msgspec.json.decode(await _line(), type=Order)
    async with PostgresStore.open(order.dsn, order.schema, prepare=False) as store:
        _say("ready")
        await _line()
        _say(await _write(store, order))
        await _line()


if __name__ == "__main__":
    asyncio.run(main())
