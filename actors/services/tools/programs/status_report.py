"""status.report: what every tool of the task came to, what is open, what is at risk, and what to do next.

Next steps follow from the rules in NEXT_STEPS and from nothing else; the page states the rule behind each step.
"""

from actors.services.tools.catalogue import CATALOGUE
from actors.services.tools.composing.citing import Evidence, by_severity, citation, code, place, plain, reason, table
from actors.services.tools.composing.rules import Condition, Judgement, Operator, Rule, judge
from protocol.tools import SEVERITIES, Fact, Finding, Prior, ProducedFile, Status, ToolInput, ToolResult

OPEN_POINTS_MAX = 40  # shown, the gravest first; the rest is counted by tool

# The verdict comes after this report, and the monitor works at the same time: their absence is no gap.
_NOT_AWAITED = frozenset({"status.report", "run.health", "verdict.decide"})

_STATUS_WORDS: dict[Status, str] = {
    "ok": "done",
    "not_applicable": "does not apply",
    "could_not_run": "could not run",
    "failed": "failed",
}


def _fact(tool: str, fact: str, operator: Operator, value: Fact) -> Condition:
    return Condition(tool=tool, fact=fact, operator=operator, value=value)


def _step(rule: str, title: str, step: str, *tests: Condition) -> Rule:
    return Rule(rule, title, "warn", tests[0] if len(tests) == 1 else Condition(any=tests), step)


# In the order in which the steps are worth doing. `title` says when, `because` says what to do.
NEXT_STEPS: tuple[Rule, ...] = (
    _step(
        "secrets",
        "a secret was found",
        "Revoke the secrets that were found, then remove them from the files and the history.",
        _fact("secrets.scan", "critical", "gt", 0),
        _fact("secrets.scan", "high", "gt", 0),
    ),
    _step(
        "tests",
        "tests fail or break",
        "Repair the failing tests, or the code they are right about.",
        _fact("tests.run", "failed", "gt", 0),
        _fact("tests.run", "errors", "gt", 0),
        _fact("tests.run", "exit_code", "gt", 0),
    ),
    _step(
        "security",
        "the static scan has critical or high findings",
        "Go through the critical and high findings of the static scan and settle each.",
        _fact("security.scan", "critical", "gt", 0),
        _fact("security.scan", "high", "gt", 0),
    ),
    _step(
        "own-checks",
        "the project's own checks fail, or a file does not parse",
        "Settle what the project's own checks found.",
        _fact("scripts.check", "failed", "gt", 0),
        _fact("scripts.check", "syntax_errors", "gt", 0),
    ),
    _step(
        "conflicts",
        "the marks of a merge conflict were committed",
        "Finish the merge in the files that hold conflict marks.",
        _fact("text.hygiene", "conflicts", "gt", 0),
    ),
    _step(
        "data",
        "a data file cannot be read",
        "Repair the data files that cannot be read.",
        _fact("text.hygiene", "broken_data_files", "gt", 0),
    ),
    _step(
        "advisories",
        "advisories name a dependency",
        "Raise the dependencies that advisories name.",
        _fact("advisories.lookup", "advisories", "gt", 0),
    ),
    _step("licence", "there is no licence", "Add a licence.", _fact("docs.check", "licence", "eq", "")),
    _step(
        "uncommitted",
        "there are uncommitted changes",
        "Commit or drop the uncommitted changes; the review did not see them.",
        _fact("workspace.prepare", "dirty", "eq", True),
    ),
    _step(
        "history",
        "the clone is shallow",
        "Fetch the whole history and run the review again.",
        _fact("workspace.prepare", "shallow", "eq", True),
    ),
    _step(
        "no-tests",
        "there is no test suite",
        "Write a first test for the part that must not break.",
        Condition(tool="tests.run", operator="status_is", value="not_applicable"),
    ),
    _step("readme", "there is no README", "Write a README.", _fact("docs.check", "has_readme", "eq", False)),
    _step(
        "changelog",
        "there is no changelog",
        "Start one from the draft.",
        _fact("docs.check", "has_changelog", "eq", False),
    ),
    _step(
        "pins",
        "dependencies are not pinned",
        "Pin the dependencies in a lock file.",
        _fact("dependencies.list", "unpinned", "gt", 0),
    ),
)


def run(given: ToolInput) -> ToolResult:
    """The status page over every result the task has so far; it copes with any of them being absent."""
    prior = {name: each for name, each in given.prior.items() if name != given.tool}
    if not prior:
        return ToolResult("could_not_run", "the task has no tool result yet; there is no status to report")
    points = by_severity((name, found) for name, each in prior.items() for found in each.result.findings)
    gaps = [name for name in _ordered(prior) if prior[name].result.status in ("could_not_run", "failed")]
    steps = [each for each in (judge(rule, Evidence(prior)) for rule in NEXT_STEPS) if each.outcome == "hit"]
    counts = {severity: sum(found.severity == severity for _, found in points) for severity in SEVERITIES}
    done = sum(each.result.status == "ok" for each in prior.values())
    grave = counts["critical"] + counts["high"]
    return ToolResult(
        "ok",
        f"{done} of {len(prior)} tools done, {len(gaps)} could not run or failed; "
        f"{len(points)} open points, {grave} of them critical or high; {len(steps) + len(gaps)} next steps",
        facts={
            "tools": len(prior),
            "tools_ok": done,
            "tools_without_result": len(gaps),
            "open_points": len(points),
            **{severity: counts[severity] for severity in reversed(SEVERITIES)},
            "next_steps": len(steps) + len(gaps),
        },
        files=(ProducedFile("status.md", "text/markdown", _page(given, prior, points, gaps, steps).encode()),),
        data={
            "next_steps": [{"rule": each.rule.id, "step": each.rule.because} for each in steps]
            + [{"rule": "no-result", "step": f"Make {name} run."} for name in gaps]
        },
    )


def _page(
    given: ToolInput,
    prior: dict[str, Prior],
    points: list[tuple[str, Finding]],
    gaps: list[str],
    steps: list[Judgement],
) -> str:
    rows = [
        (
            name,
            _STATUS_WORDS[prior[name].result.status],
            f"{plain(prior[name].result.summary)} {citation(prior[name].call)}",
            ", ".join(code(file.path) for file in prior[name].result.files) or "none",
        )
        for name in _ordered(prior)
    ]
    absent = [name for name in CATALOGUE if name not in prior and name not in _NOT_AWAITED]
    return "\n".join(
        (
            f"# Status: {plain(given.title)}\n",
            table(("Tool", "Status", "Outcome", "Files"), rows),
            "## Open points\n\n" + _points(prior, points),
            "## Risks\n\n" + _risks(given, prior, gaps, absent),
            "## Next steps\n\nEach step follows from the rule named with it.\n\n" + _steps(prior, gaps, steps),
        )
    )


def _points(prior: dict[str, Prior], points: list[tuple[str, Finding]]) -> str:
    if not points:
        return "No tool that ran reported one. What did not run is listed under risks.\n"
    evidence = Evidence(prior)
    lines = [
        f"- **{found.severity}** {place(found)}: {plain(found.message)} ({plain(found.rule)}) {evidence.cite(name)}"
        for name, found in points[:OPEN_POINTS_MAX]
    ]
    hidden = [name for name, _ in points[OPEN_POINTS_MAX:]]
    lines += [f"- {hidden.count(name)} more of {name} {citation(prior[name].call)}" for name in sorted(set(hidden))]
    return "\n".join(lines) + "\n"


def _risks(given: ToolInput, prior: dict[str, Prior], gaps: list[str], absent: list[str]) -> str:
    lines = [
        f"- Not known: {name} {word}: {reason(prior[name].result.summary, word)} {citation(prior[name].call)}"
        for name, word in ((name, _STATUS_WORDS[prior[name].result.status]) for name in gaps)
    ]
    lines += [f"- Not known: {name} has no result in this task {citation(given.call)}" for name in absent]
    evidence = Evidence(prior)
    if evidence.fact("tests.run", "complete") is False:
        lines.append(f"- The test run was cut short; its counts are partial {evidence.cite('tests.run')}")
    grave = [pair for pair in by_severity(_findings(prior)) if pair[1].severity in ("critical", "high")]
    for name in sorted({name for name, _ in grave}):
        number = sum(tool == name for tool, _ in grave)
        lines.append(f"- {number} critical or high open points of {name} {citation(prior[name].call)}")
    return ("\n".join(lines) or f"- None that a tool of this task has seen {citation(given.call)}") + "\n"


def _steps(prior: dict[str, Prior], gaps: list[str], steps: list[Judgement]) -> str:
    lines = [
        f"- {each.rule.because} Rule: {each.rule.title} "
        + " ".join(dict.fromkeys(citation(test.call) for test in each.tests if test.outcome == "hit"))
        for each in steps
    ]
    lines += [
        f"- Provide what {name} was missing and run the review again. Rule: a tool could not run or failed "
        f"{citation(prior[name].call)}"
        for name in gaps
    ]
    return ("\n".join(lines) or "- No rule asks for one.") + "\n"


def _findings(prior: dict[str, Prior]) -> list[tuple[str, Finding]]:
    return [(name, found) for name, each in prior.items() for found in each.result.findings]


def _ordered(prior: dict[str, Prior]) -> list[str]:
    """The tools in the catalogue's order, which is that of the work; unknown ones last by name."""
    known = list(CATALOGUE)
    return sorted(prior, key=lambda name: (known.index(name) if name in known else len(known), name))
