"""Processes that outlive the one that started them: start, recognise, signal.

A server is a session of its own, so neither Ctrl-C in our terminal nor a kill -9 of our process reaches it. It holds
its `<name>.lock` from birth: every process it forks inherits the lock, so a free lock proves that none of them is left,
and two servers never share one data folder.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.embedded.account import Account

LOG_BYTES_MAX = 16 * 1024 * 1024  # A longer log is set aside as .1 at the next start; that one is then replaced.
TAIL_LINES = 15
TAIL_BYTES_MAX = 16 * 1024
PS_TIMEOUT_S = 5.0

_children: set[int] = set()  # The kernel keeps a dead child until its parent asks for it: it must not pass for alive.


@dataclass(frozen=True)
class Launch:
    """One program to start: `arguments` begins with the program's path, `folder` is its working directory."""

    arguments: Sequence[str | Path]
    folder: Path
    log: Path
    account: Account


def launch(what: Launch, lock: int) -> int:
    """Start it, detached, with the locked descriptor `lock`; its pid. Its environment is empty but for locale and zone.

    OSError when it cannot be started.
    """
    if what.log.exists() and what.log.stat().st_size > LOG_BYTES_MAX:
        what.log.replace(what.log.with_name(f"{what.log.name}.1"))
    log = os.open(what.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            what.arguments,
            cwd=what.folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock,),
            umask=0o077,
            **what.account.identity,
        )
    finally:
        os.close(log)
    child.returncode = 0  # It may outlive us, so Popen is not to wait for it, nor to warn that nobody did.
    _children.add(child.pid)
    return child.pid


ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # Nothing of ours: it may hold keys.


def started_at(pid: int) -> str | None:
    """When the process began, in the system's own terms: with the pid it names a process. None when none lives."""
    if pid in _children and os.waitpid(pid, os.WNOHANG) != (0, 0):
        _children.discard(pid)
        return None
    return _started_at_linux(pid) if sys.platform == "linux" else _started_at_ps(pid)


def exists(pid: int) -> bool:
    """Whether the kernel knows the pid, be it a zombie's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send it; a process that is gone already is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def runs(pid: int, program: str) -> bool:
    """Whether the process lives and runs the program of that file name (at most 15 bytes, as Linux keeps no more)."""
    if started_at(pid) is None:
        return False
    if sys.platform != "linux":
        return Path(_ps(pid, "comm=")).name == program
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() == program
    except (FileNotFoundError, ProcessLookupError):
        return False


def tail(log: Path) -> str:
    """The last TAIL_LINES lines of the log; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES_MAX))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])


def _started_at_linux(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc_pid_stat(5): the program's name, in brackets, may hold blanks; state is the 3rd field, start time the 22nd.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_at_ps(pid: int) -> str | None:
    state, _, began = _ps(pid, "stat=,lstart=").partition(" ")
    return None if not state or state.startswith("Z") else began.strip()


def _ps(pid: int, columns: str) -> str:
    outcome = subprocess.run(
        ["ps", "-o", columns, "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        timeout=PS_TIMEOUT_S,
    )
    return outcome.stdout.strip()
