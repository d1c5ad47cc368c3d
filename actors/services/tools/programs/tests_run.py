"""tests.run: find the repository's test suite and run it on a copy of the clone, for at most `limit_s` seconds.

Outcomes are recorded as they happen, so a suite that is stopped by the limit, or dies, still has its partial counts.
The suite is foreign code: it runs only in a sandbox, sees the copy and what is installed in the repository's folder,
and no network but its own loopback.
"""

from pathlib import Path

from actors.services.tools.programs import scratch_copy, suite, suite_javascript, suite_python
from actors.services.tools.programs.git import GitError
from actors.services.tools.programs.suite_python import Report
from protocol.tools import Fact, Finding, ToolInput, ToolResult

LIMIT_S = 60.0  # what a suite gets where the task says nothing
LIMIT_S_MAX = 75.0  # leaves room within the tool's own time limit for the copy and the report
LAST_LINE_CHARS = 200
TAIL_CHARS_KEPT = 4_000  # of the suite's last output, in the result's data


def run(given: ToolInput) -> ToolResult:
    """Counts in facts, a `high` finding for each failing test (at most FAILURES_KEPT_MAX), the output's end in data."""
    source = Path(given.source)
    if not source.is_dir():
        return ToolResult("could_not_run", "could not run: there is no clone (workspace.prepare has not run)")
    tests = suite_python.find(source)
    if tests is None and not suite_javascript.find(source):
        return ToolResult("not_applicable", "no tests found")
    limit_s = suite.limit(given.args.get("limit_s"), LIMIT_S, LIMIT_S_MAX)
    root, scratch = Path(given.scratch, "copy"), Path(given.scratch, "home")
    scratch.mkdir()
    try:
        scratch_copy.make(source, root)
    except (GitError, TimeoutError) as error:
        return ToolResult("failed", f"the clone could not be copied: {error}")
    if tests is not None:
        report = suite_python.run(tests, root, scratch, given.repo, limit_s)
    else:
        report = suite_javascript.run(root, scratch, given.repo, limit_s)
    return _result(report, limit_s, str(root))


def _result(report: Report, limit_s: float, root: str) -> ToolResult:
    """`root` is taken out of what the suite said: its folder is another one in each run, and gone by now."""
    facts: dict[str, Fact] = {"runner": report.runner}
    data = {
        "missing": sorted(report.outcomes.missing),
        "tail": scratch_copy.relative(report.ran.tail[-TAIL_CHARS_KEPT:], root) if report.ran else "",
    }
    if report.refused or report.ran is None:
        return ToolResult("could_not_run", f"could not run: {report.refused}", facts=facts, data=data)
    ran, outcomes = report.ran, report.outcomes
    if ran.code == suite_python.NO_TESTS and not outcomes.ran and report.runner != "npm":
        return ToolResult("not_applicable", "no tests found", facts=facts, data=data)
    if report.runner != "npm" and not outcomes.ran and ran.code not in (0, None):
        last = (ran.tail.strip().splitlines() or ["it printed nothing"])[-1][:LAST_LINE_CHARS]
        return ToolResult("failed", f"{report.runner} broke (exit code {ran.code}): {last}", facts=facts, data=data)
    complete = outcomes.finished and ran.code is not None and outcomes.ran >= (outcomes.collected or 0)
    facts |= {"complete": complete, "seconds": ran.seconds, "exit_code": -1 if ran.code is None else ran.code}
    if outcomes.known:
        facts |= {
            "passed": outcomes.passed,
            "failed": outcomes.failed,
            "errors": outcomes.errors,
            "skipped": outcomes.skipped,
        }
    findings = tuple(_finding(failure, root) for failure in outcomes.failures)
    if not outcomes.known and ran.code:
        findings = (Finding("high", "test-failure", f"the test script ended with exit code {ran.code}"),)
    return ToolResult("ok", _summary(report, ran, complete, limit_s), facts=facts, findings=findings, data=data)


def _finding(failure: suite.Failure, root: str) -> Finding:
    rule = "test-failure" if failure.collected else "test-collection"
    message = scratch_copy.relative(f"{failure.name}: {failure.message}", root)
    return Finding("high", rule, message, failure.path, failure.line)


def _summary(report: Report, ran: suite.Ran, complete: bool, limit_s: float) -> str:
    outcomes = report.outcomes
    counts = f"{outcomes.passed} passed, {outcomes.failed} failed, {outcomes.errors} errors, {outcomes.skipped} skipped"
    if not outcomes.known:
        counts = "counts unknown" if ran.code is None else f"counts unknown, exit code {ran.code}"
    parts = [f"{report.runner}: {counts} in {ran.seconds:g} s"]
    if ran.code is None:
        of = f" of {outcomes.collected}" if outcomes.collected is not None else ""
        parts = [f"{report.runner}: stopped after {limit_s:g} s; until then {counts}{of}"]
    elif ran.code < 0:
        parts.append(f"the suite died of signal {-ran.code}")
    elif not complete:
        parts.append("it did not run to its end")
    if outcomes.missing:
        parts.append("missing " + ", ".join(sorted(outcomes.missing)))
    return " · ".join([*parts, *([report.note] if report.note else [])])
