"""verdict.decide with the rules that ship: every kind of repository gets a verdict that can be told apart."""

from typing import Any

import pytest

from actors.roles.playbook import load_playbooks
from actors.services.tools.programs import verdict_decide
from protocol.tools import Fact, ToolResult
from tests.kit.tool_inputs import file_text, given, result, uncited

Results = dict[str, ToolResult]
RULES: list[dict[str, Any]] = load_playbooks()["decision-maker"].steps[0].args["rules"]


def results(
    tests: ToolResult | None = None,
    docs: dict[str, Fact] | None = None,
    scan: ToolResult | None = None,
    lint: ToolResult | None = None,
    checks: ToolResult | None = None,
    hygiene: ToolResult | None = None,
    **workspace: Fact,
) -> Results:
    """What the tools say of a sound Python package while the advisories cannot be reached, with the changes given."""
    facts: dict[str, Fact] = {"files": 20, "commits": 7, "shallow": False, "dirty": False}
    documents: dict[str, Fact] = {"licence": "MIT", "has_readme": True, "has_changelog": True}
    return {
        "workspace.prepare": ToolResult("ok", "cloned", facts | workspace),
        "tests.run": tests or result(passed=5, failed=0, errors=0, skipped=0, complete=True, exit_code=0),
        "lint.fix": lint or result(files_changed=2),
        "scripts.check": checks or result("not_applicable", "no Node package"),
        "text.hygiene": hygiene or result(conflicts=0, broken_data_files=0, complete=True),
        "security.scan": scan or result(critical=0, high=0, medium=1, low=2, complete=True),
        "secrets.scan": result(critical=0, high=0, medium=0, low=0),
        "docs.check": ToolResult("ok", "checked", documents | (docs or {})),
        "dependencies.list": result(declared=2, pinned=2, unpinned=0),
        "advisories.lookup": result("could_not_run", "advisories unreachable"),
    }


def decide(prior: Results, rules: object = RULES) -> ToolResult:
    return verdict_decide.run(given("verdict.decide", prior, args={"rules": rules}))


NO_TESTS = result("not_applicable", "no test suite was found")
NO_PYTHON = result("not_applicable", "no Python")
SYNTAX = result(failed=0, syntax_errors=0, linted=False, complete=True)
LINTED = result(failed=0, syntax_errors=0, linted=True, complete=True)
KINDS: dict[str, Results] = {
    "passing": results(),
    "failing": results(result(passed=4, failed=1, errors=0, complete=True, exit_code=1)),
    "without tests": results(NO_TESTS, {"licence": "", "has_changelog": False}),
    "javascript": results(lint=NO_PYTHON, checks=SYNTAX),
    "javascript without node": results(
        result("could_not_run", "missing: node"), lint=NO_PYTHON, checks=result("could_not_run", "missing: node")
    ),
    "typescript": results(lint=NO_PYTHON, checks=result(failed=2, syntax_errors=0, linted=True, complete=True)),
    "empty": results(
        NO_TESTS, {"licence": "", "has_readme": False, "has_changelog": False}, NO_TESTS, NO_TESTS, files=0
    ),
    "shallow": results(shallow=True),
    "dirty": results(dirty=True),
}
SHADES: dict[str, Results] = {
    "linted by its own scripts": results(lint=NO_PYTHON, checks=LINTED),
    "broken script": results(checks=result(failed=0, syntax_errors=1, linted=False, complete=True)),
    "a check cut short": results(checks=result(failed=0, syntax_errors=0, linted=True, complete=False)),
    "conflict": results(hygiene=result(conflicts=1, broken_data_files=1, complete=True)),
    "files not reached": results(hygiene=result(conflicts=0, broken_data_files=0, complete=False)),
}


@pytest.mark.parametrize(
    ("kind", "verdict", "hit"),
    [
        ("passing", "go-with-remarks", "advisories-unreachable"),
        ("failing", "no-go", "tests-failing,advisories-unreachable"),
        ("without tests", "no-go", "licence-missing,no-tests,advisories-unreachable,changelog-missing"),
        ("javascript", "go-with-remarks", "advisories-unreachable,not-linted"),
        ("javascript without node", "hold", "tests-not-run,advisories-unreachable,not-linted,own-checks-not-run"),
        ("linted by its own scripts", "go-with-remarks", "advisories-unreachable"),
        ("typescript", "hold", "own-checks-failing,advisories-unreachable"),
        ("broken script", "hold", "own-checks-failing,advisories-unreachable"),
        ("a check cut short", "go-with-remarks", "advisories-unreachable,own-checks-not-run"),
        ("conflict", "hold", "conflict-committed,advisories-unreachable,broken-data-files"),
        ("files not reached", "go-with-remarks", "advisories-unreachable,files-not-looked-at"),
        (
            "empty",
            "no-go",
            "nothing-to-release,licence-missing,no-tests,advisories-unreachable,not-linted,readme-missing,changelog-missing",
        ),
        ("shallow", "go-with-remarks", "advisories-unreachable,history-cut-off"),
        ("dirty", "go-with-remarks", "advisories-unreachable,uncommitted-changes"),
    ],
)
def test_each_kind_of_repository_has_its_verdict(kind: str, verdict: str, hit: str) -> None:
    decided = decide((KINDS | SHADES)[kind])
    assert decided.status == "ok"
    assert (decided.facts["verdict"], decided.facts["hit"]) == (verdict, hit)


def test_the_kinds_can_be_told_apart() -> None:
    outcomes = {(decided.facts["verdict"], decided.facts["hit"]) for decided in map(decide, KINDS.values())}
    assert len(outcomes) == len(KINDS)


def test_everything_clear_is_a_go() -> None:
    decided = decide(results() | {"advisories.lookup": result(advisories=0, packages_checked=2)})
    assert decided.facts["verdict"] == "go"
    assert decided.facts["rules_clear"] == len(RULES)
    assert decided.findings == ()


def test_without_dependencies_there_is_no_advisory_to_miss() -> None:
    decided = decide(results() | {"advisories.lookup": result("not_applicable", "no dependencies to look up")})
    assert decided.facts["verdict"] == "go"


def test_what_is_not_known_is_never_a_go() -> None:
    decided = decide({})
    assert decided.facts["verdict"] == "hold"
    assert decided.facts["rules_unknown"] == len(RULES)
    assert "tools/t1@99" in file_text(decided, "verdict.md")


@pytest.mark.parametrize(
    ("changed", "verdict", "rule"),
    [
        ({"tests.run": result(passed=9, failed=0, errors=2, complete=True, exit_code=1)}, "no-go", "tests-failing"),
        ({"tests.run": result(passed=9, failed=1, errors=0, complete=False, exit_code=-1)}, "no-go", "tests-failing"),
        ({"tests.run": result(runner="npm", complete=True, exit_code=1)}, "no-go", "tests-failing"),
        ({"tests.run": result(passed=9, failed=0, errors=0, complete=False, exit_code=-1)}, "hold", "tests-cut-short"),
        ({"tests.run": result("failed", "printed nonsense")}, "hold", "tests-not-run"),
        ({"security.scan": result(critical=1, high=0)}, "no-go", "critical-finding"),
        ({"security.scan": result(critical=0, high=3)}, "hold", "high-finding"),
        ({"security.scan": result(critical=0, high=0, complete=False)}, "go-with-remarks", "scan-incomplete"),
        ({"secrets.scan": result(critical=0, high=1)}, "no-go", "secret-found"),
        ({"advisories.lookup": result(advisories=2, packages_checked=9)}, "hold", "known-advisories"),
        ({"dependencies.list": result(declared=2, unpinned=2)}, "go-with-remarks", "unpinned-dependencies"),
    ],
)
def test_each_rule_bites(changed: Results, verdict: str, rule: str) -> None:
    decided = decide(results() | changed)
    assert decided.facts["verdict"] == verdict
    assert rule in str(decided.facts["hit"]).split(",")
    assert rule in [found.rule for found in decided.findings]


def test_a_runner_that_tells_only_its_exit_code_can_pass() -> None:
    decided = decide(results(result(runner="npm", complete=True, exit_code=0)))
    assert decided.facts["verdict"] == "go-with-remarks"


def test_a_scan_that_did_not_run_holds_the_release() -> None:
    decided = decide(results() | {"secrets.scan": result("failed", "timed out")})
    assert decided.facts["verdict"] == "hold"
    assert decided.facts["unknown"] == "secret-found,known-advisories"


def test_unreachable_advisories_alone_are_a_remark_and_never_a_go() -> None:
    decided = decide(results())
    assert decided.facts["unknown"] == "known-advisories"
    assert decided.facts["verdict"] == "go-with-remarks"


def test_the_page_names_every_rule_with_outcome_and_citation() -> None:
    page = file_text(decide(KINDS["failing"]), "verdict.md")
    for rule in RULES:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{rule['id']}`")]
        assert "[tools/t1@" in row
    assert "tests.run `failed`: 1 [tools/t1@2]" in page
    assert page.startswith("# Verdict: no-go [tools/t1@99]")
    assert uncited(page) == []


def test_the_data_holds_the_evidence_of_every_rule() -> None:
    decided = decide(KINDS["failing"])
    listed: list[dict[str, Any]] = decided.data["rules"]
    failing = next(each for each in listed if each["id"] == "tests-failing")
    assert [each["id"] for each in listed] == [rule["id"] for rule in RULES]
    assert failing["outcome"] == "hit"
    assert failing["evidence"][2] == {
        "tool": "tests.run",
        "fact": "failed",
        "value": 1,
        "outcome": "hit",
        "call": "tools/t1@2",
    }


ODD: dict[str, object] = {**RULES[0], "id": "odd", "when": {}}


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (None, "list"),
        ([ODD], "odd"),
        ([RULES[0], {**RULES[1], "severity": "deadly"}], RULES[1]["id"]),
    ],
)
def test_a_malformed_rule_fails_the_tool_and_is_named(rules: object, named: str) -> None:
    decided = decide(results(), rules)
    assert decided.status == "failed"
    assert f"rule {named}:" in decided.summary
    assert decided.files == ()
