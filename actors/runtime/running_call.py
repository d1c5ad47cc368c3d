"""One attempt at an effect, as it runs: it ends by itself or is cut, and always comes to one ending.

- A cut reaches the call at its next await, and again for as long as it swallows that. A call that goes on for
  CUT_GRACE_S is not waited for: its ending stands, and what it still says counts for nothing. It keeps its place among
  those that may run at once, since whatever it holds it holds still.
- What comes back after a cut does not count; what came before does.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import anyio
import anyio.abc

from actors.runtime.retry import OutcomeUnknown
from eventstore.store import ClaimedEffect
from protocol.message import Command

CUT_GRACE_S = 5.0

Cut = Literal["", "timeout", "withdrawn", "claim_lost"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended. Not cut, it has an outcome or an error. `abandoned`: it was cut and goes on
    nevertheless. `why` are the words of whoever cut it."""

    outcome: object = None
    error: Exception | None = None
    cut: Cut = ""
    why: str = ""
    abandoned: bool = False


class RunningCall:
    """A claimed effect that is being performed. `effect` is it under the claim that this worker has now. `free` is
    called once: when its worker has left it and nothing of it runs any more."""

    def __init__(self, effect: ClaimedEffect, free: Callable[[], None]) -> None:
        self.effect = effect
        self._free = free
        self._begun = self._left = False
        self._scope = anyio.CancelScope()
        self._stirred = anyio.Event()
        self._over = False
        self._outcome: object = None
        self._error: Exception | None = None
        self._cut: Cut = ""
        self._why = ""

    def cut(self, cut: Cut, why: str = "") -> None:
        """End it now, unless it has ended; the first reason counts, but a claim that is lost is lost."""
        if self._over or (self._cut and cut != "claim_lost"):
            return
        self._cut, self._why = cut, why
        self._scope.cancel()
        self._stirred.set()

    async def run(
        self, group: anyio.abc.TaskGroup, perform: Callable[[], Awaitable[Command]], timeout_s: float
    ) -> Ended:
        """Perform in `group` and wait for the end; a call that was cut before is not begun."""
        if self._cut:
            return Ended(cut=self._cut, why=self._why)
        self._begun = True
        group.start_soon(self._run, perform)
        with anyio.move_on_after(timeout_s):
            await self._stirred.wait()
        if not self._over and not self._cut:
            self.cut("timeout", f"TimeoutError: no end within {timeout_s:g} s")
        if not self._over:
            self._stirred = anyio.Event()
            with anyio.move_on_after(CUT_GRACE_S):
                await self._stirred.wait()
        return Ended(self._outcome, self._error, self._cut, self._why, not self._over)

    def leave(self) -> None:
        """Its ending is written, or its worker stops."""
        self._left = True
        if self._over or not self._begun:
            self._free()

    async def _run(self, perform: Callable[[], Awaitable[Command]]) -> None:
        try:
            with self._scope:
                self._outcome = await perform()
        except anyio.get_cancelled_exc_class():
            # One that nobody asked for would be taken for the end of the whole worker.
            if anyio.current_effective_deadline() == -math.inf:
                raise
            self._error = OutcomeUnknown("it was cancelled by itself")
        except Exception as error:  # noqa: BLE001 - whatever a performer raises is a failed attempt, told to its actor
            self._error = error
        finally:
            self._over = True
            self._stirred.set()
            if self._left:
                self._free()
