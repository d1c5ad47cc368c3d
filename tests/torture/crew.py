"""The worker processes of a run: each slot holds one life after another, each with a role and a log file."""

import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import anyio
import anyio.abc
import msgspec

from actors.runtime.nats_bus import utc_now
from tests.torture.child import Orders
from tests.torture.wires import Wire

STOP_S_MAX = (
    25.0  # A clean stop: ten seconds of draining and five of handing over, and a server that is away meanwhile.
)
LOG_LINES_SHOWN = 40
_AS_ORDERED = (0, -signal.SIGKILL, -signal.SIGTERM)  # The last: before it had so much as begun.
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass
class Life:
    """One process from its start to its end. `ordered`: somebody ended it on purpose."""

    name: str
    process: anyio.abc.Process
    log: Path
    ordered: bool = False
    ended: anyio.Event = field(default_factory=anyio.Event)


class Slot:
    """Where one worker runs. `lock`: one fault at a time."""

    def __init__(self, number: int, nats: Wire, postgres: Wire, orders: Callable[["Slot"], Orders], logs: Path) -> None:
        self.number, self.nats, self.postgres = number, nats, postgres
        self.lock = anyio.Lock()
        self.life: Life | None = None
        self._orders, self._logs = orders, logs

    async def start(self) -> Life:
        orders = self._orders(self)
        path = self._logs / f"{orders.name}.log"
        with path.open("wb") as out:
            process = await anyio.open_process(
                [sys.executable, "-P", "-m", "tests.torture.child"],
                stdin=-1, stdout=out, stderr=out, start_new_session=True, cwd=ROOT,
                env=ENVIRONMENT,
            )  # fmt: skip
        self.life = Life(orders.name, process, path)
        assert process.stdin is not None
        await process.stdin.send(msgspec.json.encode(orders) + b"\n")
        return self.life

    async def kill(self) -> datetime:
        """kill -9; when that was."""
        life = self._ordered()
        at = utc_now()
        _signal(life, signal.SIGKILL)
        await life.process.wait()
        return at

    async def stop(self) -> float:
        """A clean stop; how long it took, in seconds. TimeoutError after STOP_S_MAX."""
        life, began = self._ordered(), anyio.current_time()
        _signal(life, signal.SIGTERM)
        with anyio.fail_after(STOP_S_MAX):
            await life.process.wait()
        return anyio.current_time() - began

    def freeze(self) -> None:
        _signal(self._living(), signal.SIGSTOP)

    def thaw(self) -> None:
        _signal(self._living(), signal.SIGCONT)

    def _living(self) -> Life:
        assert self.life is not None, "a slot is started before anything happens to it"
        return self.life

    def _ordered(self) -> Life:
        life = self._living()
        life.ordered = True
        return life


class Crew:
    """All slots. `died`: what was said by processes that ended although nobody had ended them."""

    def __init__(self, slots: list[Slot], group: anyio.abc.TaskGroup) -> None:
        self.slots = slots
        self.died: list[str] = []
        self.lives = 0
        self._group = group

    async def start(self, slot: Slot) -> None:
        life = await slot.start()
        self.lives += 1
        self._group.start_soon(self._watch, slot, life)

    async def stop_all(self) -> None:
        """Cleanly, all at once."""

        async def stop(slot: Slot) -> None:
            try:
                await slot.stop()
            except TimeoutError:
                self.died.append(f"worker {slot.number} did not stop within {STOP_S_MAX:g} s{_said(slot.life)}")

        async with anyio.create_task_group() as group:
            for slot in self.slots:
                group.start_soon(stop, slot)

    async def _watch(self, slot: Slot, life: Life) -> None:
        status = await life.process.wait()
        if not life.ordered or status not in _AS_ORDERED:
            self.died.append(f"worker {slot.number} ({life.name}) ended with status {status}{_said(life)}")
        life.ended.set()
        if not life.ordered:
            await self.start(slot)  # As whoever looks after processes would.

    def kill_all(self) -> None:
        """Whatever state they are in."""
        for slot in self.slots:
            if slot.life is not None:
                slot.life.ordered = True
                _signal(slot.life, signal.SIGKILL)


@asynccontextmanager
async def crew(slots: list[Slot]) -> AsyncGenerator[Crew]:
    """None of them is left at the end."""
    async with anyio.create_task_group() as group:
        hired = Crew(slots, group)
        try:
            yield hired
        finally:
            hired.kill_all()
            with anyio.CancelScope(shield=True):
                for slot in slots:
                    if slot.life is not None:
                        await slot.life.process.wait()
                        await slot.life.process.aclose()
            group.cancel_scope.cancel()


def _signal(life: Life, number: signal.Signals) -> None:
    if life.process.returncode is None:
        try:
            life.process.send_signal(number)
        except ProcessLookupError:
            return


def _said(life: Life | None) -> str:
    """The last lines of its log."""
    if life is None:
        return ""
    lines = life.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return "".join(f"\n    {line}" for line in lines)
