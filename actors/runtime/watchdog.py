"""Ends a process whose event loop stands still, and says what it was deciding.

A `decide`, `evolve` or `react` that never returns holds up everything: no lease is renewed and nobody is answered. A
thread sees that the loop's heart has stopped for TURN_S_MAX, writes the actor and the command to the log, every
thread's traceback to stderr, and ends the process with STUCK_EXIT_CODE. Nothing is handed over: the leases run out,
another process takes over, and suspects.py there finds out which command it is.

Time is counted in the thread's own rests, so that a process that was frozen as a whole is not thought to be stuck. A
call into C that never lets go of the interpreter stops this thread too: then the leases run out all the same, and
whatever looks at `/healthz` must end the process.
"""

import faulthandler
import math
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

import anyio
import structlog

from actors.runtime.turn import Watch

TURN_S_MAX = 10.0  # A turn decides in microseconds. Twice the lease: others have taken over before this process ends.
LOOKS = 10  # So often the thread looks in that time.
STUCK_EXIT_CODE = 70  # Of the process; no other end of it has this one.
LAST_WORDS_S_MAX = 1.0  # The log may be what is stuck.

log = structlog.get_logger("watchdog")


class Watchdog(Watch):
    """One per process. The committer shows it what it decides."""

    def __init__(self, limit_s: float = TURN_S_MAX, end: "Callable[[str], object] | None" = None) -> None:
        super().__init__()
        self._limit_s, self._end = limit_s, end or _end
        self._beats = 0
        self._over = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        rest_s = self._limit_s / LOOKS
        self._over.clear()
        threading.Thread(target=self._watch, args=(rest_s,), name="watchdog", daemon=True).start()
        try:
            while True:
                self._beats += 1
                await anyio.sleep(rest_s)
        finally:
            self._over.set()

    def deciding(self) -> str:
        """What is being decided, in words."""
        turn, commands = self.turn, self.commands
        if turn is None:
            return "no turn was under way: the traceback on stderr shows what was"
        done = len(turn.settled)
        if done >= len(commands):
            return f"the actor {turn.address} was deciding its last command"
        pending = commands[done]
        return f"the actor {turn.address} was deciding the command {pending.id} ({pending.type})"

    def _watch(self, rest_s: float) -> None:
        seen, still = -1, 0
        while not self._over.wait(rest_s):
            beats = self._beats
            seen, still = beats, still + 1 if beats == seen else 0
            if still >= math.ceil(self._limit_s / rest_s):
                self._end(f"nothing has moved for {self._limit_s:g} s; {self.deciding()}")
                return


def _end(words: str) -> NoReturn:
    sys.stderr.write(f"troupe: this process is stuck and ends: {words}\n")
    sys.stderr.flush()
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    last = threading.Thread(target=log.critical, args=("watchdog.stuck",), kwargs={"error": words}, daemon=True)
    last.start()
    last.join(LAST_WORDS_S_MAX)
    os._exit(STUCK_EXIT_CODE)
