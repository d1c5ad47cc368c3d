"""The sandboxes that work on this machine, and a way to learn when a sandboxed process lives and dies."""

import os
import select
import shutil
import sys
from pathlib import Path

from actors.services.tools.sandbox.adapters import Bubblewrap, Landlock
from actors.services.tools.sandbox.base import Policy, Sandbox
from actors.services.tools.sandbox.detect import own

WAIT_S = 30.0  # a bound, not a wait: everything here is told at once

ALL: tuple[Sandbox, ...] = (
    Bubblewrap(shutil.which("bwrap") or "bwrap"),
    Landlock(namespaces=True),
    Landlock(namespaces=False),
)


def name(sandbox: Sandbox) -> str:
    """A short name for a test's id."""
    return f"{sandbox.kind}{'' if getattr(sandbox, 'namespaces', True) else '-alone'}"


def has_namespaces(sandbox: Sandbox) -> bool:
    """Whether commands get a file system view, processes and a network of their own."""
    return getattr(sandbox, "namespaces", True)


def python(code: str, *args: str) -> tuple[str, ...]:
    """A command that runs Python code."""
    return (sys.executable, "-I", "-S", "-c", code, *args)


def policy(scratch: Path, *readable: Path, environment: dict[str, str] | None = None) -> Policy:
    """`scratch` is writable (made and owned as need be), `readable` only that."""
    scratch.mkdir(exist_ok=True)
    own(scratch)
    paths = tuple(map(str, readable))
    return Policy(paths, (str(scratch),), str(scratch), cpu_s=60, environment=environment or {}, foreign=True)


class Pulse:
    """A FIFO that a process in a sandbox opens for writing: its first byte says that it lives, the end that it died."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        own(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def begun(self) -> bool:
        """Wait until a process holds the other end."""
        return self._wait(select.POLLIN) and os.read(self._descriptor, 1) == b"x"

    def ended(self) -> bool:
        """Wait until no process holds the other end."""
        return self._wait(select.POLLHUP) and os.read(self._descriptor, 2) in (b"", b"x")

    def close(self) -> None:
        """Close our end."""
        os.close(self._descriptor)

    def _wait(self, event: int) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, event)
        return any(found & event for _, found in poll.poll(WAIT_S * 1000))


# A daemon: in a session of its own, its parent gone, deaf to polite signals. It holds the pulse for ever.
DAEMON = """
import os, signal, sys
def daemon(pulse):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    held = os.open(pulse, os.O_WRONLY)
    os.write(held, b"x")
    while True:
        signal.pause()
"""
