"""Processes of the benchmark: one JSON object a line goes in, one comes out.

What belongs to one measurement runs in processes of its own, so that no client shares an interpreter with what it
measures, and processor time can be told apart.
"""

import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

T = TypeVar("T")
START_S_MAX = 60.0
ANSWER_S_MAX = 300.0
STOP_S_MAX = 30.0
LINE_BYTES_MAX = 1024 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")
_ROOT = Path(__file__).resolve().parents[3]


class ChildFailed(Exception):
    """A process of the benchmark ended before it was told to; what it said is on standard error."""


class Child:
    """A running process."""

    def __init__(self, name: str, process: anyio.abc.Process) -> None:
        self._name, self._process = name, process
        assert process.stdout is not None
        self._lines = BufferedByteReceiveStream(process.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def tell(self, what: Any) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send(msgspec.json.encode(what) + b"\n")

    async def hear(self, timeout_s: float = ANSWER_S_MAX) -> bytes:
        """Its next line. ChildFailed when there is none."""
        try:
            with anyio.fail_after(timeout_s):
                return await self._lines.receive_until(b"\n", LINE_BYTES_MAX)
        except (anyio.EndOfStream, anyio.IncompleteRead) as ended:
            raise ChildFailed(f"{self._name} ended too early: its own words are above") from ended

    async def ask(self, what: Any, answer: type[T]) -> T:
        await self.tell(what)
        return msgspec.json.decode(await self.hear(), type=answer)

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def kill(self) -> None:
        """kill -9: nothing of it is tidied up."""
        self._process.kill()

    async def ended(self) -> None:
        await self._process.wait()


@asynccontextmanager
async def child(
    module: str, first: Any, program: str = sys.executable, arguments: Sequence[str] = ()
) -> AsyncGenerator[Child]:
    """`module` as a process with `first` as its first line; its input is closed at the end, and it ends by itself."""
    async with script([program, "-P", "-m", module, *arguments], module, {"PYTHONPATH": str(_ROOT)}) as running:
        await running.tell(first)
        yield running


@asynccontextmanager
async def script(command: Sequence[str], name: str, more: dict[str, str]) -> AsyncGenerator[Child]:
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1", **more}
    process = await anyio.open_process(command, stderr=None, env=env, cwd=_ROOT)
    try:
        yield Child(name, process)
    finally:
        with anyio.CancelScope(shield=True):
            assert process.stdin is not None
            await process.stdin.aclose()
            with anyio.move_on_after(STOP_S_MAX) as stopping:
                await process.wait()
            if stopping.cancelled_caught:
                process.kill()
                await process.wait()


def cpu_s(pid: int) -> float:
    """User and system time of a process so far (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_bytes(pid: int) -> int:
    """Resident memory of a process (proc(5), second field of statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wakeups(pid: int) -> int:
    """How often the threads of a process gave up the processor to wait (proc(5), status)."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = status.read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total
