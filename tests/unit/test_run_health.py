"""run.health: the figures of the run as the projections hold them."""

from dataclasses import replace

from actors.services.tools.run_health import AgentHealth, HealthRows, ToolRuns, compose
from tests.kit.tool_inputs import file_text, given, uncited

ROWS = HealthRows(
    agents=(AgentHealth("tester", "delivered", 1, 12.34, 0), AgentHealth("security", "working", 4, 3.0, 0)),
    events=120,
    tool_runs=ToolRuns(total=17, failed=0, could_not_run=0),
    head_position=130,
    view_position=128,
    elapsed_s=61.25,
)


def test_the_figures_are_facts() -> None:
    facts = compose(given("run.health"), ROWS).facts
    assert (facts["agents"], facts["events"], facts["tool_runs"]) == (2, 120, 17)
    assert (facts["view_lag"], facts["elapsed_s"]) == (2, 61.25)


def test_the_page_cites_every_figure() -> None:
    page = file_text(compose(given("run.health"), ROWS), "health.md")
    row = "| tester | delivered | 1 [tools/t1@99] | 12.3 s [tools/t1@99] | 0 [tools/t1@99] |"
    assert row in page
    assert "| View behind the log | 2 events [tools/t1@99] |" in page
    assert uncited(page) == []


def test_a_run_without_a_fault_has_no_findings() -> None:
    outcome = compose(given("run.health"), ROWS)
    assert outcome.findings == ()
    assert "without a fault" in outcome.summary


def test_what_did_not_end_well_is_a_finding() -> None:
    broken = replace(
        ROWS,
        agents=(AgentHealth("tester", "failed", 1, 2.0, 3),),
        tool_runs=ToolRuns(total=5, failed=2, could_not_run=1),
    )
    outcome = compose(given("run.health"), broken)
    assert [found.rule for found in outcome.findings] == ["agent-errors", "tool-runs-failed", "tool-runs-not-run"]
    assert "- **medium** tester recorded 3 errors [tools/t1@99]" in file_text(outcome, "health.md")


def test_a_view_ahead_of_the_log_is_grave() -> None:
    outcome = compose(given("run.health"), replace(ROWS, view_position=131))
    assert [found.severity for found in outcome.findings] == ["high"]
    assert outcome.facts["view_lag"] == 0


def test_a_run_without_agents_is_told_as_such() -> None:
    page = file_text(compose(given("run.health"), replace(ROWS, agents=())), "health.md")
    assert "None yet [tools/t1@99]." in page
