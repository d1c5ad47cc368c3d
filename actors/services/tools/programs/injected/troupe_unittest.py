"""Runs `unittest` modules under the repository's interpreter and records each outcome as `troupe_outcomes` does.

Arguments: `FOLDER:MODULE`, the folder that has to be importable and the module's dotted name in it. Plain Python 3.7.
"""

import os
import sys
import traceback
import unittest
from typing import Any, Dict  # noqa: UP035  plain Python 3.7

from troupe_outcomes import MESSAGE_CHARS_MAX, inside, record


class Recorder(unittest.TestResult):
    """Records each outcome when it is known."""

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._tell(test, "passed")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._tell(test, "failed", err)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        if type(test).__name__ == "_FailedTest":
            # How the loader says that a module cannot be imported: a test that raises what importing it raised.
            cause = str(err[1])
            missing = cause.rpartition("No module named ")[2].strip().strip("'") if "No module named" in cause else ""
            message = cause.strip().splitlines()[-1] if cause.strip() else ""
            line = {"what": "uncollected", "name": test.id().rpartition("_FailedTest.")[2], "path": ""}
            record({**line, "message": message[:MESSAGE_CHARS_MAX], "missing": missing})
        else:
            self._tell(test, "error", err)

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._tell(test, "skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._tell(test, "skipped")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._tell(test, "failed")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._tell(subtest, "failed" if issubclass(err[0], test.failureException) else "error", err)

    def _tell(self, test: Any, outcome: str, err: Any = None) -> None:
        line = {"what": "test", "name": test.id(), "outcome": outcome}
        record({**line, **_where(err)} if outcome in ("failed", "error") else line)


def _where(err: Any) -> Dict[str, Any]:  # noqa: UP006
    if err is None:
        return {"path": "", "line": 0, "message": "unexpected success"}
    here = [frame for frame in traceback.extract_tb(err[2]) if inside(frame.filename)]
    path, lineno = (inside(here[-1].filename), here[-1].lineno) if here else ("", 0)
    message = (str(err[1]).strip() or err[0].__name__).splitlines()[0]
    return {"path": path, "line": lineno, "message": message[:MESSAGE_CHARS_MAX]}


def main() -> int:
    """Load every module, then run; 1 when something failed, 5 when there was no test."""
    suite = unittest.TestSuite()
    loader = unittest.defaultTestLoader
    for argument in sys.argv[1:]:
        folder, _, module = argument.rpartition(":")
        if folder not in sys.path:
            sys.path.insert(0, folder)
        suite.addTest(loader.loadTestsFromName(module))
    record({"what": "collected", "count": suite.countTestCases()})
    result = Recorder()
    suite.run(result)
    code = 1 if not result.wasSuccessful() else 0 if result.testsRun else 5
    record({"what": "finished", "code": code})
    return code


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    sys.exit(main())
