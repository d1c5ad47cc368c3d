"""status.report: one row a tool, open points from the gravest down, risks, and next steps by stated rules."""

from actors.services.tools.programs import status_report
from protocol.tools import ToolResult
from tests.kit.tool_inputs import file_text, finding, given, result, uncited

RESULTS = {
    "workspace.prepare": result(summary="12 files, 3 commits", dirty=True, shallow=False),
    "tests.run": result(summary="4 passed, 1 failed", passed=4, failed=1, errors=0, complete=True),
    "security.scan": ToolResult(
        "ok", "2 findings", {"critical": 0, "high": 1}, (finding("low"), finding("high", "b.py", 9, "starts a shell"))
    ),
    "advisories.lookup": result("could_not_run", "advisories unreachable"),
    "lint.fix": result("not_applicable", "no Python files"),
}


def report(results: dict[str, ToolResult]) -> tuple[ToolResult, str]:
    outcome = status_report.run(given("status.report", results))
    return outcome, file_text(outcome, "status.md")


def test_every_tool_has_a_row_with_status_summary_and_citation() -> None:
    _, page = report(RESULTS)
    assert "| tests.run | done | 4 passed, 1 failed [tools/t1@2] | none |" in page
    assert "| lint.fix | does not apply | no Python files [tools/t1@5] | none |" in page
    assert "| advisories.lookup | could not run | advisories unreachable [tools/t1@4] | none |" in page


def test_numbers_are_counted_and_cited() -> None:
    outcome, page = report(RESULTS)
    assert outcome.facts["tools"] == 5
    assert outcome.facts["tools_ok"] == 3
    assert outcome.facts["tools_without_result"] == 1
    assert (outcome.facts["open_points"], outcome.facts["high"], outcome.facts["low"]) == (2, 1, 1)
    assert uncited(page) == []


def test_the_gravest_point_comes_first() -> None:
    _, page = report(RESULTS)
    high, low = page.index("- **high** `b.py:9`: starts a shell (r1) [tools/t1@3]"), page.index("- **low** `a.py:3`")
    assert high < low


def test_what_did_not_run_is_a_risk_and_what_is_absent_too() -> None:
    _, page = report(RESULTS)
    assert "- Not known: advisories.lookup could not run: advisories unreachable [tools/t1@4]" in page
    assert "- Not known: docs.check has no result in this task [tools/t1@99]" in page
    assert "verdict.decide" not in page


def test_a_test_run_that_was_cut_short_is_a_risk() -> None:
    _, page = report({"tests.run": result(passed=4, failed=0, errors=0, complete=False)})
    assert "- The test run was cut short; its counts are partial [tools/t1@1]" in page


def test_next_steps_follow_from_the_rules_and_name_them() -> None:
    outcome, page = report(RESULTS)
    assert [step["rule"] for step in outcome.data["next_steps"]] == ["tests", "security", "uncommitted", "no-result"]
    assert "Rule: tests fail or break [tools/t1@2]" in page
    assert outcome.facts["next_steps"] == 4


def test_without_a_fault_there_is_no_step() -> None:
    outcome, page = report({"tests.run": result(passed=4, failed=0, errors=0, complete=True)})
    assert outcome.data["next_steps"] == []
    assert "No rule asks for one." in page


def test_points_beyond_the_limit_are_counted_by_tool() -> None:
    many = tuple(finding(line=n + 1) for n in range(status_report.OPEN_POINTS_MAX + 3))
    _, page = report({"change.review": ToolResult("ok", "done", {}, many)})
    assert page.count("- **low**") == status_report.OPEN_POINTS_MAX
    assert "- 3 more of change.review [tools/t1@1]" in page


def test_without_any_result_it_could_not_run() -> None:
    outcome = status_report.run(given("status.report"))
    assert outcome.status == "could_not_run"
    assert outcome.files == ()
