"""One life of a worker process: it runs the real runtime on ports of its own until it is stopped, fails or is killed.

Killed means killed: from that instant its ports do nothing, so that whatever its tasks still do while they are taken
down changes nothing outside. Frozen means that nothing of it runs while time passes for everybody else; thawed, it goes
on with what it believed before.
"""

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import cast
from uuid import UUID

import anyio
from anyio.lowlevel import checkpoint

from actors.runtime.kind import Kinds, Performers
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.simulated.broker import Broker
from actors.runtime.simulated.bus import SimulatedBus
from actors.runtime.simulated.loop import OWNER, SimulatedTask
from actors.runtime.simulated.provider import Provider, ProviderPort
from actors.runtime.simulated.store import Way, faulty
from actors.runtime.simulated.trace import Trace
from actors.runtime.supervisor import Runtime, running
from eventstore.store import EventStore, StoreError

ROUNDS_MAX = 500  # Until the last task of a killed process has ended.
TASKS_KEPT = 200  # Ended ones are forgotten when there are more.
STOP_S_MAX = 30.0  # A clean stop takes no longer.


class ProcessKilled(BaseException):
    """This process is dead: nothing it does reaches anybody."""


@dataclass(frozen=True)
class Ports:
    """What a performer of a simulation may use: its process's way to the store, and the world that is paid."""

    store: EventStore
    provider: ProviderPort
    clock: Callable[[], datetime]


@dataclass(frozen=True)
class Crew:
    """What every process of a world runs. `alone`: there is one process at a time, under a lock."""

    store: EventStore
    broker: Broker
    provider: Provider
    kinds: Kinds
    performers: Callable[[Ports], Performers]
    metrics: RuntimeMetrics
    alone: bool


class Life:
    """A process from its start to its end. `seed` draws all its chance; `skew_s` is how wrong its clock is."""

    def __init__(
        self, name: str, crew: Crew, way: Way, trace: Trace, seed: str, now: Callable[[], datetime],
        report: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.name = name
        self.frozen = False
        self.alive = True
        self.tasks: list[SimulatedTask] = []
        self._crowd = TASKS_KEPT
        self.steps = 0
        self._stalls_s = 0.0
        self.dies_at_step: int | None = None
        self.runtime: Runtime | None = None
        self._crew, self._way, self._trace, self._report = crew, way, trace, report
        chance = Random(seed)  # noqa: S311 - that it can be drawn again is the point
        self._chance = chance
        self.bus = SimulatedBus(self, crew.broker, Random(chance.getrandbits(64)))  # noqa: S311
        self.store, self.way_to_store = faulty(crew.store, self, way, name)
        self._now = now
        self._stop, self.ended = anyio.Event(), anyio.Event()
        context = copy_context()
        context.run(OWNER.set, self)
        self._root = way.loop.create_task(self._live(), context=context)
        self._root.add_done_callback(self._ends)
        trace.note(f"{name} starts")

    def adopt(self, task: SimulatedTask) -> None:
        if len(self.tasks) > self._crowd:
            self.tasks = [task for task in self.tasks if not task.done()]
            self._crowd = 2 * len(self.tasks) + TASKS_KEPT
        self.tasks.append(task)

    @property
    def owner(self) -> UUID | None:
        """As whom it owns partitions (None: it has not got so far)."""
        return None if self.runtime is None else self.runtime.ownership.worker.id

    def step(self) -> None:
        self.steps += 1
        if self.dies_at_step is not None and self.steps >= self.dies_at_step and self.alive:
            self.kill()

    def check(self) -> None:
        """ProcessKilled, if it was."""
        if not self.alive:
            raise ProcessKilled(self.name)

    def stall(self, seconds: float) -> None:
        """Freeze for so long when it is about to commit the next time: the worst moment there is."""
        self._stalls_s = seconds

    async def before(self, call: str) -> None:
        """This process is about to make that call of the store's."""
        self.check()
        if call == "commit" and self._stalls_s > 0.0:
            seconds, self._stalls_s = self._stalls_s, 0.0
            self.freeze()
            self._way.loop.call_later(seconds, self.thaw, context=self._way.context)
        await checkpoint()

    async def stop(self) -> None:
        """Stop cleanly; killed when that takes longer than STOP_S_MAX."""
        self._trace.note(f"{self.name} is to stop")
        self._stop.set()
        with anyio.move_on_after(STOP_S_MAX) as stopping:
            await self.ended.wait()
        if stopping.cancelled_caught:
            self._report(f"{self.name} did not stop within {STOP_S_MAX:g} s")
            self.kill()
            await self.ended.wait()

    def kill(self) -> None:
        """End it now, as kill -9 does."""
        if not self.alive:
            return
        self.alive = False
        self._trace.note(f"{self.name} is killed at step {self.steps}")
        self._way.unheard(self.name, "commit", lost=True)
        self.thaw()
        self.bus.hang_up()
        self._way.loop.create_task(self._bury(), context=self._way.context)

    def freeze(self) -> None:
        """Run nothing of it until it is thawed."""
        if self.alive and not self.frozen:
            self._trace.note(f"{self.name} freezes")
            self.frozen = True

    def thaw(self) -> None:
        """Go on."""
        if self.frozen:
            self._trace.note(f"{self.name} thaws")
            self.frozen = False
            self._way.loop.thaw(self)

    async def _live(self) -> None:
        crew = self._crew
        ports = Ports(self.store, ProviderPort(crew.provider, self), self._now)
        performers = crew.performers(ports)
        async with running(
            self.store, self.bus, crew.kinds, performers, self._now, alone=crew.alone, metrics=crew.metrics,
            chance=self._chance,
        ) as runtime:  # fmt: skip
            self.runtime = runtime
            await self._stop.wait()

    def _ends(self, root: "object") -> None:
        """The process is over, one way or another."""
        error = None if self._root.cancelled() else self._root.exception()
        if self.alive:
            self._trace.note(f"{self.name} ends{'' if error is None else f': {type(error).__name__}'}")
            starting = self.runtime is None and isinstance(error, StoreError)  # It is started again, as anybody would.
            if error is not None and not starting:
                self._report(f"{self.name} failed: {in_words(error)}")
            self.alive = False
            self.bus.hang_up()
            if any(not task.done() for task in self.tasks):
                self._report(f"{self.name} has ended and left tasks behind")
            self.ended.set()

    async def _bury(self) -> None:
        """End every task of the dead process; they can reach nobody."""
        rounds = 0
        while left := [task for task in self.tasks if not task.done()]:
            for task in left:
                task.cancel()
            await checkpoint()
            rounds += 1
            if rounds > ROUNDS_MAX:
                self._report(f"{self.name} was killed, and a task of it goes on and on: {left[0]!r}")
                break
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.exception()  # Nobody else will ask.
        self.tasks.clear()
        self.ended.set()


def in_words(error: BaseException) -> str:
    """What went wrong; of a group, each of it."""
    if isinstance(error, BaseExceptionGroup):
        several: tuple[BaseException, ...] = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return "; ".join(map(in_words, several))
    return f"{type(error).__name__}: {error}"
