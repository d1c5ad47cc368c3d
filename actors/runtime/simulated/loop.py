"""An asyncio event loop whose time is a number: it jumps to the next timer when nothing is ready.

- Nothing outside touches it: no sockets, no threads, no processes. What asks for one gets NotInSimulation.
- Everything that runs belongs to the simulated process in whose context it was begun, and that process may be frozen:
  what it would run is kept, and runs when it is thawed, however much time has passed.
- The order of what is ready at the same instant is drawn from the seed. It follows from the order in which tasks began
  and not from the order in which they were made ready: anyio cancels the tasks of a scope in the order of a set, which
  is another in every run.
"""

import asyncio
import heapq
import math
import sys
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from itertools import count
from random import Random
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
CALLS_AT_ONCE_MAX = 200_000  # Calls without any time passing: something runs in circles.
CALLS_MAX = 20_000_000  # Of one simulation.
_BITS = 0xFFFFFFFF


class NotInSimulation(RuntimeError):
    """Something real was asked for: a socket, a thread, a process. A simulation has none; hand in a simulated port."""


class Stuck(RuntimeError):
    """Nothing is ready, and no timer will ever make anything so; or something runs for ever."""


class Owner(Protocol):
    """Who a call belongs to: a simulated process."""

    frozen: bool

    def adopt(self, task: "SimulatedTask") -> None:
        """This task is its."""
        ...

    def step(self) -> None:
        """A call of this owner is about to run."""
        ...


OWNER: ContextVar[Owner | None] = ContextVar("simulated_owner", default=None)


class SimulatedTask(asyncio.Task[Any]):
    """A task that knows when it began among all others."""

    __slots__ = ("serial",)
    serial: int


class _Call(asyncio.Handle):
    """Something to run, of somebody."""

    __slots__ = ("owner", "serial")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: "VirtualLoop", context: Context | None
    ) -> None:
        super().__init__(callback, args, loop, context)
        self.owner: Owner | None = self._context.get(OWNER)  # type: ignore[attr-defined] # pyright: ignore
        self.serial = 0

    def run(self) -> None:
        self._run()


class _TimerCall(asyncio.TimerHandle):
    """The same, later."""

    __slots__ = ("order", "owner", "serial")

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], loop: "VirtualLoop",
        context: Context | None, order: int,
    ) -> None:  # fmt: skip
        super().__init__(when, callback, args, loop, context)
        self.owner: Owner | None = self._context.get(OWNER)  # type: ignore[attr-defined] # pyright: ignore
        self.order, self.serial = order, order << 1 | 1

    def run(self) -> None:
        self._run()


_Ready = _Call | _TimerCall


def _left_alone(_: object) -> None:
    """Nothing is done about it."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """One simulation's loop. `chance` shuffles what is ready."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._now = 0.0
        self._ready: list[_Ready] = []
        self._timers: list[tuple[float, int, _TimerCall]] = []
        self._kept: dict[int, tuple[Owner, list[_Ready]]] = {}  # Of frozen owners, by their id.
        self._order, self._serial = count(1), count(1)
        self._running = self._stopping = self._closed = False
        self._calls = self._calls_at_once = 0
        self.trouble: list[str] = []  # What no task waited for.

    # Time and calls.

    def time(self) -> float:
        return self._now

    @property
    def calls(self) -> int:
        """How many calls have run."""
        return self._calls

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        call = _Call(callback, args, self, context)
        self._ready.append(call)
        return call

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        call = _TimerCall(when, callback, args, self, context, next(self._order))
        if when < math.inf:
            heapq.heappush(self._timers, (when, call.order, call))
        return call

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        return self.call_soon(callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> "asyncio.Task[T]":
        serial = next(self._serial)
        # asyncio's own names count all tasks of this Python process: a rerun would see others.
        task = SimulatedTask(coro, loop=self, name=name or f"task-{serial}", context=context)
        task.serial = serial
        owner = OWNER.get() if context is None else context.get(OWNER)
        if owner is not None:
            owner.adopt(task)
        return task

    # Running.

    def run_forever(self) -> None:
        if self._closed or self._running:
            raise RuntimeError("this simulation's loop is closed, or running already")
        if events._get_running_loop() is not None:  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
            raise RuntimeError("a simulation brings its own event loop: call it from plain code, not from a coroutine")
        self._running, self._stopping = True, False
        hooks = sys.get_asyncgen_hooks()
        # What is left of a killed process is not tidied up, least of all when the collector happens to come by.
        sys.set_asyncgen_hooks(firstiter=None, finalizer=_left_alone)
        events._set_running_loop(self)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        try:
            while not self._stopping:
                self._turn()
        finally:
            events._set_running_loop(None)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
            sys.set_asyncgen_hooks(*hooks)
            self._running = False

    def run_until_complete(self, future: Any) -> Any:
        task = self.create_task(future) if asyncio.iscoroutine(future) else future

        def ended(_: object) -> None:
            self.stop()

        task.add_done_callback(ended)
        self.run_forever()
        if not task.done():
            raise Stuck("the simulation was stopped before its end")
        return task.result()

    def _turn(self) -> None:
        if not self._ready:
            self._pass_time()
        while self._timers and self._timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(self._timers)[2])
        batch, self._ready = self._ready, []
        if len(batch) > 1:
            batch = self._drawn(batch)
        for call in batch:
            if call.cancelled():
                continue
            owner = call.owner
            if owner is not None:
                if owner.frozen:
                    self._kept.setdefault(id(owner), (owner, []))[1].append(call)
                    continue
                owner.step()
            self._calls += 1
            self._calls_at_once += 1
            call.run()
        if self._calls_at_once > CALLS_AT_ONCE_MAX or self._calls > CALLS_MAX:
            raise Stuck(
                f"{self._calls} calls, {self._calls_at_once} of them at {self._now:.6f} s: something goes round"
            )

    def _pass_time(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Stuck(
                f"nothing is ready at {self._now:.6f} s, and no timer is set; a thread or a socket never will be"
            )
        if self._timers[0][0] > self._now:
            self._now = self._timers[0][0]
            self._calls_at_once = 0

    def _drawn(self, batch: list[_Ready]) -> list[_Ready]:
        """The calls in an order that the seed draws. It depends on what they are, not on how they lie here."""
        for call in batch:
            if not call.serial:
                task = getattr(call._callback, "__self__", None)  # type: ignore[attr-defined] # pyright: ignore
                # Tasks and other calls are counted apart, so that they meet by chance only.
                call.serial = task.serial << 1 if isinstance(task, SimulatedTask) else next(self._order) << 1 | 1
        drawn = self._chance.getrandbits(32) | 1
        return sorted(batch, key=lambda call: call.serial * drawn & _BITS)

    def thaw(self, owner: Owner) -> None:
        """Run what was kept while this owner was frozen, as it lay."""
        self._ready.extend(self._kept.pop(id(owner), (owner, []))[1])

    def stop(self) -> None:
        self._stopping = True

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._ready, self._timers, self._kept = [], [], {}

    async def shutdown_asyncgens(self) -> None:
        """They end with what they belong to."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    # What asyncio asks of a loop.

    def get_task_factory(self) -> Any:
        return None

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """A simulation is its own debugger."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.trouble.append(
            f"{context.get('message')}: {error!r}" if error is not None else str(context.get("message"))
        )

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        raise NotInSimulation(f"{func!r} was to run in a thread; hand in a port that does without")
