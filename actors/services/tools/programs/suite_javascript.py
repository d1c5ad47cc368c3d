"""Running the tests of a Node package by its own `test` script, and reading the closing lines of the common runners."""

import re
from pathlib import Path
from typing import Any

from actors.services.tools.programs import node_package, suite
from actors.services.tools.programs.suite_python import Report

_PLACEHOLDER = "no test specified"  # what `npm init` writes as the test script

# The totals as each runner prints them last. Node's own (`# pass 3` in TAP, `ℹ pass 3` otherwise), and TAP's totals.
_NODE = re.compile(r"^[#ℹ] (pass|fail|cancelled|skipped|todo) +(\d+)\s*$", re.MULTILINE)
_JEST = re.compile(r"^Tests: +(.+ total)\s*$", re.MULTILINE)  # 1 failed, 2 skipped, 3 passed, 6 total
_VITEST = re.compile(r"^ *Tests +((?:\d+ \w+(?: \| )?)+) \(\d+\)\s*$", re.MULTILINE)  # 1 failed | 2 passed (3)
_MOCHA = re.compile(r"^ *(\d+) (passing|failing|pending)\b", re.MULTILINE)
_NUMBERED = re.compile(r"(\d+) (\w+)")
_TAP_LINE = re.compile(r"^ *(not )?ok \d+(?: -)? ?(.*)$", re.MULTILINE)
_FAILED_NAME = re.compile(r"^ *(?:not ok \d+(?: -)? |[✕✖×] |● )(.+?)(?: \([\d.]+ ?ms\))?$", re.MULTILINE)
_KIND = {
    "pass": "passed", "passed": "passed", "passing": "passed",
    "fail": "failed", "failed": "failed", "failing": "failed", "cancelled": "failed",
    "skipped": "skipped", "pending": "skipped", "todo": "skipped",
}  # fmt: skip


def find(root: Path) -> str:
    """The test script of the package at `root`; "" where it has none."""
    script: Any = node_package.table(node_package.read(root), "scripts").get("test", "")
    return script if isinstance(script, str) and _PLACEHOLDER not in script else ""


def run(root: Path, scratch: Path, repo: str, limit_s: float) -> Report:
    """Run `npm test` in the copy at `root`, with the packages installed in `repo`."""
    refused = node_package.make_ready(root, repo)
    if refused:
        return Report("npm", suite.Outcomes(), refused=refused)
    ran = suite.run(["npm", "test"], root, node_package.environment(scratch), limit_s)
    outcomes = parse(ran.tail)
    outcomes.finished = ran.code is not None and ran.code >= 0
    missing = node_package.missing(ran.tail)
    if ran.code and missing and not outcomes.passed:
        return Report("npm", outcomes, ran, refused=f"missing {missing}")
    return Report("npm", outcomes, ran)


def parse(output: str) -> suite.Outcomes:
    """The totals in the end of a run's output; `known` is False where no runner's closing lines are found."""
    text = node_package.without_escapes(output)
    outcomes = suite.Outcomes()
    for words in _totals(text):
        kind = _KIND.get(words[1])
        if kind:
            setattr(outcomes, kind, getattr(outcomes, kind) + int(words[0]))
    if not outcomes.ran:
        lines = _TAP_LINE.findall(text)
        outcomes.failed = sum(1 for failed, _ in lines if failed)
        outcomes.passed = len(lines) - outcomes.failed
    outcomes.known = outcomes.ran > 0
    for name in dict.fromkeys(_FAILED_NAME.findall(text)) if outcomes.failed else ():
        outcomes.fail(suite.Failure(name.strip(), "failed"))
    return outcomes


def _totals(text: str) -> list[tuple[str, str]]:
    """(count, word) of the last totals printed."""
    node: dict[str, str] = dict(_NODE.findall(text))
    if node:
        return [(count, word) for word, count in node.items()]
    for form in (_JEST, _VITEST):
        matches = form.findall(text)
        if matches:
            return _NUMBERED.findall(matches[-1])
    return list({word: (count, word) for count, word in _MOCHA.findall(text)}.values())
