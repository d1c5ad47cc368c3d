"""Bandit on a list of Python files, in this process, with its own defaults: no setting of the repository is read.

Lines that the code marks `# nosec` are honoured and counted: somebody looked at them and signed for it.
"""

import importlib
import importlib.metadata
import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from actors.services.tools.programs.checkout import File

CHUNK_FILES = 25  # between two looks at the clock
VERSION = importlib.metadata.version("bandit")


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue as bandit reports it: severity and confidence are LOW, MEDIUM, HIGH or UNDEFINED."""

    path: str
    line: int
    test: str  # "B602"
    name: str  # "subprocess_popen_with_shell_equals_true"
    text: str
    severity: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What bandit found, how many files it scanned and which it could not, and how many lines are marked `# nosec`."""

    issues: Sequence[Issue]
    scanned: int
    unparsable: Sequence[str]
    not_reached: int  # files left when the time was over
    nosec: int


def scan(files: Sequence[File], seconds_max: float) -> Scan:
    """Scan `files`; stops between two chunks once `seconds_max` have passed."""
    logging.getLogger("bandit").setLevel(logging.CRITICAL)  # what it would print is in the result
    by_location = {str(file.location): file.path for file in files}
    until = time.monotonic() + seconds_max
    done = 0
    with warnings.catch_warnings():
        # Foreign code with an invalid escape warns; where warnings are errors, bandit would not see its tree.
        # The same holds for bandit itself, which loads its plugins in a way that is deprecated.
        warnings.simplefilter("ignore")
        manager: Any = _manager()
        for start in range(0, len(files), CHUNK_FILES):
            if time.monotonic() > until:
                break
            chunk = files[start : start + CHUNK_FILES]
            manager.files_list = [str(file.location) for file in chunk]
            manager.run_tests()
            done += len(chunk)
    issues = [_issue(each, by_location) for each in cast("list[Any]", manager.results)]
    skipped = sorted(by_location[str(name)] for name, _ in cast("list[tuple[str, str]]", manager.skipped))
    totals = cast("Mapping[str, int]", manager.metrics.data.get("_totals", {}))
    nosec = int(totals.get("nosec", 0)) + int(totals.get("skipped_tests", 0))
    return Scan(
        sorted(issues, key=lambda issue: (issue.path, issue.line, issue.test)),
        done - len(skipped),
        skipped,
        len(files) - done,
        nosec,
    )


def _manager() -> object:
    config: Any = importlib.import_module("bandit.core.config")
    manager: Any = importlib.import_module("bandit.core.manager")
    return manager.BanditManager(config.BanditConfig(), "file", quiet=True)


def _issue(found: Any, by_location: Mapping[str, str]) -> Issue:
    return Issue(
        by_location[str(found.fname)],
        int(found.lineno or 0),
        str(found.test_id),
        str(found.test),
        str(found.text),
        str(found.severity),
        str(found.confidence),
    )
