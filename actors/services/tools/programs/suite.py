"""Running a foreign test suite with everything bounded, and what is known of its outcomes, also when it was killed."""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

TAIL_BYTES_KEPT = 64 << 10  # the last of what a suite printed; the rest is read and dropped
FAILURES_KEPT_MAX = 50  # named; all are counted
OUTCOME_BYTES_MAX = 32 << 20  # of the file of outcomes; a suite with more has its first outcomes counted
_CHUNK_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a command: its exit code (negative: a signal; None: the limit struck) and the end of its output."""

    code: int | None
    seconds: float
    tail: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed or could not be set up, or a module that could not be collected; path and line where known."""

    name: str
    message: str
    path: str = ""
    line: int = 0
    collected: bool = True


@dataclass(slots=True)
class Outcomes:
    """What is known of a suite. `known` False: only its exit code says anything. `finished`: it came to its own end."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    known: bool = True
    finished: bool = False
    collected: int | None = None
    failures: list[Failure] = field(default_factory=list[Failure])
    missing: set[str] = field(default_factory=set[str])

    @property
    def ran(self) -> int:
        """Tests with an outcome."""
        return self.passed + self.failed + self.errors + self.skipped

    def fail(self, failure: Failure) -> None:
        """Name a failure while there is room."""
        if len(self.failures) < FAILURES_KEPT_MAX:
            self.failures.append(failure)


def limit(asked: object, usual_s: float, most_s: float) -> float:
    """The asked limit in seconds where it is a positive number, else the usual one; at most `most_s`."""
    if isinstance(asked, int | float) and not isinstance(asked, bool) and asked > 0:
        return min(float(asked), most_s)
    return usual_s


def environment(scratch: Path) -> dict[str, str]:
    """What every suite finds in its environment. CI=1 keeps runners from watching for changes for ever."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "PATH", "TZ", "TROUPE_DEMO") if name in os.environ}
    return {**kept, "HOME": str(scratch), "TMPDIR": str(scratch), "CI": "1"}


def run(argv: Sequence[str], cwd: Path, env: Mapping[str, str], limit_s: float) -> Ran:
    """Run a command in a session of its own for at most `limit_s`; its process group is killed in any case.

    What left the group (a daemon) lives until the sandbox ends, at the end of this program.
    """
    began = time.monotonic()
    with subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        tail = bytearray()
        try:
            code = _watch(process, process.stdout.fileno(), tail, began + limit_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return Ran(code, round(time.monotonic() - began, 2), tail.decode("utf-8", "replace"))


def _watch(process: subprocess.Popen[bytes], output: int, tail: bytearray, deadline: float) -> int | None:
    """Read until the command exits (not until its pipe closes: a child that fled may hold it) or the deadline."""
    os.set_blocking(output, False)
    handle = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            selector.register(output, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                if output in ready and not _take(output, tail):
                    selector.unregister(output)
                if handle in ready:
                    while _take(output, tail, most=TAIL_BYTES_KEPT) and time.monotonic() < deadline:
                        pass
                    return process.wait()
            return None
    finally:
        os.close(handle)


def _take(output: int, tail: bytearray, most: int = _CHUNK_BYTES) -> bool:
    """Move what is there to the tail; False at the end of the stream or when nothing is there."""
    try:
        chunk = os.read(output, most)
    except BlockingIOError:
        return False
    tail += chunk
    del tail[:-TAIL_BYTES_KEPT]
    return bool(chunk)


def recorded(path: Path) -> Outcomes:
    """What the injected plugin wrote so far; a line that was cut by a kill, or forged, is passed over."""
    outcomes = Outcomes()
    if not path.is_file():
        return outcomes
    last: dict[str, str] = {}
    with path.open("rb") as lines:
        for line in lines.read(OUTCOME_BYTES_MAX).splitlines():
            with suppress(ValueError, TypeError, KeyError):
                _note(outcomes, last, cast(dict[str, Any], json.loads(line)))
    for outcome in last.values():
        if outcome == "passed":
            outcomes.passed += 1
        elif outcome == "failed":
            outcomes.failed += 1
        elif outcome == "error":
            outcomes.errors += 1
        else:
            outcomes.skipped += 1
    return outcomes


def _note(outcomes: Outcomes, last: dict[str, str], line: dict[str, Any]) -> None:
    what = line["what"]
    if what == "collected":
        outcomes.collected = int(line["count"])
    elif what == "finished":
        outcomes.finished = True
    elif what == "uncollected":
        outcomes.errors += 1
        if line["missing"]:
            outcomes.missing.add(str(line["missing"]))
        outcomes.fail(Failure(str(line["name"]), str(line["message"]), str(line["path"]), collected=False))
    elif what == "test":
        name, outcome = str(line["name"]), str(line["outcome"])
        if outcome in ("failed", "error"):
            outcomes.fail(Failure(name, str(line["message"]), str(line["path"]), int(line["line"])))
        # A test that passed and whose teardown broke has two lines; the worse one counts.
        if last.get(name) not in ("failed", "error"):
            last[name] = outcome
