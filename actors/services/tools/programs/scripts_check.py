"""scripts.check: run the scripts by which a Node package checks itself (types, lint, format), on a copy of the clone.

The scripts are foreign code: they run only in a sandbox, see the copy and what is installed in the repository's folder,
and no network but their own loopback; together they get `limit_s` seconds. Where a package names no such script, every
JavaScript file that people wrote is parsed by `node --check` instead.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.services.tools.analysis import check_output
from actors.services.tools.analysis.findings import bounded, finding, noun, severity_facts
from actors.services.tools.programs import node_package, node_scripts, node_syntax, scratch_copy, suite
from actors.services.tools.programs.checkout import files
from actors.services.tools.programs.git import GitError
from actors.services.tools.programs.node_scripts import Script
from protocol.tools import Fact, Finding, ToolInput, ToolResult

LIMIT_S = 60.0  # for all scripts together, where the task says nothing
LIMIT_S_MAX = 75.0  # leaves room within the tool's own time limit for the copy and the report
SYNTAX_LIMIT_S = 20.0  # for parsing files one by one
TAIL_CHARS_KEPT = 2_000  # of each script's last output, in the result's data
TAIL_CHARS_SHOWN = 200  # of it, in the finding about an output that nobody here can read

_NO_COMMAND = 127  # what a shell answers for a command that is not there


@dataclass(frozen=True, slots=True)
class _Run:
    """One script's run: what it said, and what it lacked ("" where nothing)."""

    script: Script
    ran: suite.Ran
    findings: tuple[Finding, ...]
    missing: str

    @property
    def outcome(self) -> str:
        if self.missing:
            return "could_not_run"
        return "stopped" if self.ran.code is None else "failed" if self.ran.code else "passed"


def run(given: ToolInput) -> ToolResult:
    """Each script's exit code, seconds and findings. Not applicable without a package and without JavaScript files."""
    source = Path(given.source)
    if not source.is_dir():
        return ToolResult("could_not_run", "could not run: there is no clone (workspace.prepare has not run)")
    package = node_package.read(source)
    chosen, left_out = node_scripts.choose(node_package.table(package, "scripts"))
    scratch = Path(given.scratch, "home")
    scratch.mkdir()
    if not chosen:
        return _without_scripts(source, scratch, bool(package), left_out)
    root = Path(given.scratch, "copy")
    try:
        scratch_copy.make(source, root)
    except (GitError, TimeoutError) as error:
        return ToolResult("failed", f"the clone could not be copied: {error}")
    refused = node_package.make_ready(root, given.repo)
    if refused:
        return ToolResult("could_not_run", f"could not run: {refused}", data={"left_out": left_out})
    environment = node_package.environment(scratch)
    manager = node_scripts.manager(package, root, environment)
    limit_s = suite.limit(given.args.get("limit_s"), LIMIT_S, LIMIT_S_MAX)
    runs, unreached = _run_all(chosen, manager, root, environment, limit_s)
    left_out |= {script.name: "the time was up" for script in unreached}
    return _result(runs, unreached, left_out, manager, str(root))


def _run_all(
    chosen: Sequence[Script], manager: str, root: Path, environment: dict[str, str], limit_s: float
) -> tuple[list[_Run], list[Script]]:
    """The runs, and the scripts for which no time was left."""
    deadline = time.monotonic() + limit_s
    runs: list[_Run] = []
    for number, script in enumerate(chosen):
        left = deadline - time.monotonic()
        if left <= 0:
            return runs, list(chosen[number:])
        ran = suite.run(node_scripts.argv(manager, script.name), root, environment, left)
        runs.append(_judged(script, ran, root))
    return runs, []


def _judged(script: Script, ran: suite.Ran, root: Path) -> _Run:
    """What a run's output says; its findings count even when the exit code is 0 (warnings)."""
    output = node_package.without_escapes(ran.tail)

    def place(path: str) -> str:
        relative = scratch_copy.relative(path, str(root)).removeprefix("./")
        inside = not relative.startswith("/") and ".." not in relative.split("/")
        return relative if inside and (root / relative).is_file() else ""

    found = list(check_output.read(output, place))
    if ran.code is None:
        found.append(finding("low", "check-stopped", f"the script {script.name} was stopped after {ran.seconds:g} s"))
        return _Run(script, ran, tuple(found), "")
    lacks = node_package.missing(output) if ran.code and (not found or ran.code == _NO_COMMAND) else ""
    if ran.code and not lacks and not found:
        tail = scratch_copy.relative(" ".join(output.split())[-TAIL_CHARS_SHOWN:], str(root)) or "it printed nothing"
        said = f"the script {script.name} ended with exit code {ran.code}: {tail}"
        found.append(finding("medium", "check-failed", said, "package.json"))
    return _Run(script, ran, tuple(found), lacks)


def _result(
    runs: Sequence[_Run], unreached: Sequence[Script], left_out: dict[str, str], manager: str, root: str
) -> ToolResult:
    data: dict[str, Any] = {"left_out": left_out, "scripts": [_as_data(each, root) for each in runs]}
    ended = [each for each in runs if not each.missing]
    if not ended:
        lacks = ", ".join(sorted({each.missing for each in runs}))
        return ToolResult("could_not_run", f"could not run: missing {lacks}", {"runner": manager}, data=data)
    found = [each for run in ended for each in run.findings]
    outcomes = [each.outcome for each in runs]
    facts: dict[str, Fact] = {
        "by": "scripts",
        "runner": manager,
        "scripts": len(runs) + len(unreached),
        "passed": outcomes.count("passed"),
        "failed": outcomes.count("failed"),
        "stopped": outcomes.count("stopped"),
        "not_run": outcomes.count("could_not_run") + len(unreached),
        "left_out": len(left_out) - len(unreached),
        "syntax_errors": 0,
        "linted": any(each.script.lints and each.outcome in ("passed", "failed") for each in ended),
        "complete": len(runs) == len(ended) and not unreached and "stopped" not in outcomes,
        "seconds": round(sum(each.ran.seconds for each in runs), 2),
    }
    return ToolResult(
        "ok", _summary(runs, unreached, found, manager), facts | severity_facts(found), bounded(found), data=data
    )


def _as_data(run: _Run, root: str) -> dict[str, Any]:
    return {
        "script": run.script.name,
        "kind": run.script.kind,
        "outcome": run.outcome,
        "exit_code": run.ran.code,
        "seconds": run.ran.seconds,
        "findings": len(run.findings),
        "missing": run.missing,
        "tail": scratch_copy.relative(run.ran.tail[-TAIL_CHARS_KEPT:], root),
    }


def _summary(runs: Sequence[_Run], unreached: Sequence[Script], found: Sequence[Finding], manager: str) -> str:
    words = {"passed": "passed", "failed": "failed", "stopped": "stopped by the time limit"}
    said = [f"{manager}: " + ", ".join(f"{e.script.name} {words[e.outcome]}" for e in runs if not e.missing)]
    said += [f"{each.script.name} could not run: missing {each.missing}" for each in runs if each.missing]
    if unreached:
        said.append(f"no time left for {', '.join(script.name for script in unreached)}")
    return " · ".join([*said, noun(len(set(found)), "finding")])


def _without_scripts(source: Path, scratch: Path, package: bool, left_out: dict[str, str]) -> ToolResult:
    """Parse the JavaScript files, where there are any and Node is here."""
    why = "package.json names no checking script" if package else "no Node package"
    data = {"left_out": left_out}
    if not any(file.suffix in node_syntax.SUFFIXES for file in files(source)):
        return ToolResult("not_applicable", f"{why}, and there is no JavaScript file", data=data)
    if shutil.which("node") is None:
        return ToolResult("could_not_run", "could not run: missing node", data=data)
    began = time.monotonic()
    looked = node_syntax.look(source, node_package.environment(scratch), SYNTAX_LIMIT_S)
    if not looked.checked and not looked.left_out:
        return ToolResult("not_applicable", f"{why}, and no file is plain JavaScript that people wrote", data=data)
    facts: dict[str, Fact] = {
        "by": "syntax",
        "runner": "node",
        "scripts": 0,
        "passed": 0,
        "failed": 0,
        "left_out": len(left_out),
        "files_checked": looked.checked,
        "files_in_a_dialect": looked.dialect,
        "files_not_reached": looked.left_out,
        "syntax_errors": looked.errors,
        "linted": False,
        "complete": not looked.left_out,
        "seconds": round(time.monotonic() - began, 2),
    }
    summary = f"{why}; node --check: {noun(looked.checked, 'file')} looked at, {len(looked.findings)} do not parse"
    if looked.left_out:
        summary += f"; {noun(looked.left_out, 'file')} not reached"
    return ToolResult("ok", summary, facts | severity_facts(looked.findings), bounded(looked.findings), data=data)
