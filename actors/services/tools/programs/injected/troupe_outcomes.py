"""A pytest plugin, loaded into the foreign suite with `-p`: each outcome is one JSON line, appended when it is known.

So what had happened survives a kill. Runs under the repository's own interpreter and pytest, therefore in plain Python
3.7 without our packages; every function it needs is taken at import, before a conftest can replace it.
"""

import os
import re
from json import dumps as _dumps
from os import O_APPEND, O_CREAT, O_WRONLY, getcwd
from os import close as _close
from os import open as _open
from os import write as _write
from os.path import isabs, relpath, sep
from typing import Any, Dict  # noqa: UP035  plain Python 3.7

MESSAGE_CHARS_MAX = 300
_OUTCOMES = os.environ.get("TROUPE_OUTCOMES", os.devnull)
_ROOT = getcwd()
_MISSING = re.compile(r"No module named '?([\w.]+)")
_distributed = False  # a worker of xdist: its controller reports the same tests


def record(line: Dict[str, Any]) -> None:  # noqa: UP006
    """Append one line, whole even when many processes write."""
    descriptor = _open(_OUTCOMES, O_WRONLY | O_APPEND | O_CREAT, 0o600)
    try:
        _write(descriptor, (_dumps(line) + "\n").encode("utf-8", "replace"))
    finally:
        _close(descriptor)


def inside(path: str) -> str:
    """`path` relative to the checkout, "" when it lies elsewhere."""
    relative = relpath(path, _ROOT) if isabs(path) else path
    return "" if relative.startswith("..") else relative.replace(sep, "/")


def pytest_configure(config: Any) -> None:
    """Learn whether this is a worker."""
    global _distributed
    _distributed = hasattr(config, "workerinput")


def pytest_collectreport(report: Any) -> None:
    """A module that cannot be collected."""
    if report.failed and not _distributed:
        text = str(report.longrepr)
        missing = _MISSING.findall(text)
        message = text.strip().splitlines()[-1] if text.strip() else ""
        path = inside(str(report.nodeid).split("::")[0])
        line = {"what": "uncollected", "name": report.nodeid, "path": path, "message": message[:MESSAGE_CHARS_MAX]}
        record({**line, "missing": missing[-1] if missing else ""})


def pytest_collection_finish(session: Any) -> None:
    """How many tests there are to run."""
    if not _distributed:
        record({"what": "collected", "count": len(session.items)})


def pytest_runtest_logreport(report: Any) -> None:
    """One phase of one test: its setup, its call or its teardown."""
    if _distributed or report.outcome not in ("passed", "failed", "skipped"):
        return
    if report.outcome == "failed":
        outcome = "failed" if report.when == "call" else "error"
    elif report.when == "call" or (report.when == "setup" and report.outcome == "skipped"):
        outcome = report.outcome
    else:
        return
    line = {"what": "test", "name": report.nodeid, "outcome": outcome}
    record({**line, **_where(report)} if report.outcome == "failed" else line)


def _where(report: Any) -> Dict[str, Any]:  # noqa: UP006
    path, lineno = str(report.location[0]), (report.location[1] or 0) + 1
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(crash.message if crash else report.longrepr).strip()
    if crash and inside(str(crash.path)):
        path, lineno = str(crash.path), crash.lineno
    first = message.splitlines()[0] if message else ""
    return {"path": inside(path), "line": lineno, "message": first[:MESSAGE_CHARS_MAX]}


def pytest_sessionfinish(session: Any, exitstatus: int) -> None:
    """The suite came to its end."""
    if not _distributed:
        record({"what": "finished", "code": int(exitstatus)})
