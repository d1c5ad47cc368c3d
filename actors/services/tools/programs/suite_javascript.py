"""Running the tests of a Node package by its own `test` script, and reading the closing lines of the common runners."""

import re
import shutil
from pathlib import Path
from typing import Any, cast

import msgspec

from actors.services.tools.programs import checkout, suite
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
_MISSING = re.compile(r"Cannot find (?:module|package) '([^'./][^']*)'|sh: (?:\d+: )?([\w-]+): not found")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def find(root: Path) -> str:
    """The test script of the package at `root`; "" where it has none."""
    script: Any = _table(_package(root), "scripts").get("test", "")
    return script if isinstance(script, str) and _PLACEHOLDER not in script else ""


def run(root: Path, scratch: Path, repo: str, limit_s: float) -> Report:
    """Run `npm test` in the copy at `root`, with the packages installed in `repo`."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return Report("npm", suite.Outcomes(), refused="missing npm")
    package = _package(root)
    if _table(package, "dependencies") or _table(package, "devDependencies"):
        installed = Path(repo, "node_modules")
        if not (repo and installed.is_dir()):
            return Report("npm", suite.Outcomes(), refused="missing node_modules")
        if not (root / "node_modules").exists():
            (root / "node_modules").symlink_to(installed)
    ran = suite.run([npm, "test"], root, _environment(scratch), limit_s)
    outcomes = parse(ran.tail)
    outcomes.finished = ran.code is not None and ran.code >= 0
    missing = _MISSING.findall(ran.tail)
    if ran.code and missing and not outcomes.passed:
        return Report("npm", outcomes, ran, refused=f"missing {missing[0][0] or missing[0][1]}")
    return Report("npm", outcomes, ran)


def _environment(scratch: Path) -> dict[str, str]:
    return {
        **suite.environment(scratch),
        "npm_config_update_notifier": "false",
        "npm_config_cache": str(scratch / "npm"),
        "npm_config_offline": "true",
        "NO_COLOR": "1",
        "FORCE_COLOR": "0",
    }


def parse(output: str) -> suite.Outcomes:
    """The totals in the end of a run's output; `known` is False where no runner's closing lines are found."""
    text = _ESCAPES.sub("", output)
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


def _package(root: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(checkout.read_text(root, "package.json") or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _table(package: dict[str, Any], name: str) -> dict[str, Any]:
    table = package.get(name)
    return cast(dict[str, Any], table) if isinstance(table, dict) else {}
