"""Run one sandboxed command to its end, with everything about it bounded: time, output and what it leaves behind."""

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import anyio
import anyio.abc

from actors.services.tools.sandbox.base import Policy, Sandbox

OUTPUT_BYTES_MAX = 16 << 20  # of stdout; a command that prints more is ended
STDERR_BYTES_KEPT = 64 << 10  # the last of stderr; the rest is read and dropped
KILL_GRACE_S = 5.0  # for the launcher to end its tree after SIGTERM, before it is killed itself

Ended = Literal["exited", "timed_out", "too_much_output", "not_started"]


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. `code` is its exit code, 128 + n for signal n; `stderr` the last STDERR_BYTES_KEPT."""

    ended: Ended
    code: int
    stdout: bytes
    stderr: str


async def execute(
    sandbox: Sandbox, argv: tuple[str, ...], policy: Policy, *, stdin: bytes = b"", timeout_s: float
) -> Completed:
    """Run `argv` in `sandbox`. When this returns or is cancelled, nothing that the command started is left.

    Raises nothing for what the command does; a command line that cannot be started is `not_started` with why in stderr.
    """
    command = sandbox.command(argv, policy)
    try:
        # The launcher is the new session's leader, so a terminal's Ctrl-C reaches the company alone, which drains.
        process = await anyio.open_process(command, env=policy.environment, cwd=policy.cwd, start_new_session=True)
    except OSError as error:
        return Completed("not_started", -1, b"", f"{command[0]}: {error}")
    output, errors = _Output(OUTPUT_BYTES_MAX), _Tail(STDERR_BYTES_KEPT)
    ended: Ended = "exited"
    try:
        with anyio.move_on_after(timeout_s) as deadline:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_feed, process, stdin)
                tasks.start_soon(_drain, process.stderr, errors)
                await _drain(process.stdout, output)
                if output.exceeded:
                    ended = "too_much_output"
                    tasks.cancel_scope.cancel()
                await process.wait()
        if deadline.cancelled_caught:
            ended = "timed_out"
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
            await process.aclose()
    return Completed(ended, process.returncode or 0, bytes(output.kept), errors.text())


class _Output:
    """The first `limit` bytes; `exceeded` once there were more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.kept = bytearray()
        self.exceeded = False

    def take(self, chunk: bytes) -> bool:
        """Keep a chunk; whether to go on reading."""
        self.kept += chunk
        self.exceeded = len(self.kept) > self._limit
        return not self.exceeded


class _Tail:
    """The last `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def take(self, chunk: bytes) -> bool:
        self._kept += chunk
        del self._kept[: -self._limit]
        return True

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace").strip()


async def _drain(stream: anyio.abc.ByteReceiveStream | None, into: _Output | _Tail) -> None:
    assert stream is not None
    # A process that is killed while we read closes its pipes: the end of the stream either way.
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for chunk in stream:
            if not into.take(chunk):
                return


async def _feed(process: anyio.abc.Process, stdin: bytes) -> None:
    assert process.stdin is not None
    # A command need not read its input.
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, BrokenPipeError, ConnectionResetError):
        await process.stdin.send(stdin)
    with suppress(anyio.BrokenResourceError, BrokenPipeError, ConnectionResetError):
        await process.stdin.aclose()


async def _end(process: anyio.abc.Process) -> None:
    """End the launcher, which ends its tree; kill it where it does not."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(KILL_GRACE_S):
            await process.wait()
    if process.returncode is None or sys.platform != "linux":  # Elsewhere no launcher ends the tree: its group must do.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
