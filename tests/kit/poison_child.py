"""A company in a process of its own, whose counters can be told to end it, or to loop for ever.

`python -m tests.kit.poison_child DSN NATS_URL NATS_TOKEN ROOT TURN_S_MAX` says "ready <pid>" on stdout; whenever that
process dies it says "died <exit code>" and begins another, until its standard input ends. A counter that is told to add
666 ends its process on the spot; 777 never ends.
"""

import os
import sys
from dataclasses import replace
from threading import Thread
from typing import Any

import anyio
import structlog

from actors.runtime.kind import Kind
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.supervisor import running
from actors.runtime.watchdog import Watchdog
from eventstore.postgres.store import PostgresStore
from protocol.message import Event
from tests.kit.company import STREAM_BYTES_MAX
from tests.kit.counting import COUNTER, KINDS, Add, Count

KILLS, LOOPS = 666, 777
KILLED_CODE = 86


def _decide(state: Count, command: Add) -> tuple[Event, ...]:
    if command.n == KILLS:
        os._exit(KILLED_CODE)
    while command.n == LOOPS:
        pass
    return COUNTER.decide(state, command)


DEADLY: Kind[Any] = replace(COUNTER, decide=_decide)


async def _live(dsn: str, url: str, token: str, root: str, turn_s_max: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    kinds = {**KINDS, "counter": DEADLY}
    watchdog = Watchdog(float(turn_s_max))
    async with (
        PostgresStore.open(dsn, prepare=False) as store,
        NatsBus.open(url, token, root, STREAM_BYTES_MAX) as bus,
        running(store, bus, kinds, {}, utc_now, alone=True, watchdog=watchdog),
    ):
        sys.stdout.write(f"ready {os.getpid()}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def _one_life(arguments: list[str]) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    dsn, nats_url, nats_token, root, turn_s_max = arguments
    anyio.run(_live, dsn, nats_url, nats_token, root, turn_s_max)


def _lives(arguments: list[str]) -> None:
    """One life after another, each in a process forked from this one, which has all imports behind it."""
    while True:
        pid = os.fork()
        if pid == 0:
            _one_life(arguments)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(f"died {code}\n")
        sys.stdout.flush()
        if code == 0:
            return


if __name__ == "__main__":
    _lives(sys.argv[1:])
