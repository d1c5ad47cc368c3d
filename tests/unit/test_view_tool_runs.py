"""Tool runs and what each tool comes to, folded in memory."""

from datetime import timedelta

import pytest

from projections.fold import folded
from projections.tool_runs import RUNS, TOTALS, TYPES, VIEW, ToolRun, ToolTotal
from protocol.message import tag_of
from protocol.tools import Status, ToolCalled, ToolReturned
from tests.kit.board_run import BEGIN, Happened, arbitrary_run, recorded, small_run
from tests.kit.folds import happened

CALLED = ToolCalled("tester", "r1", "tests.run", "review")
RETURNED = ToolReturned(
    "tools/t1@1", "tester", "tests.run", "failed", "3 tests failed", findings=3, seconds=1.25, sandbox="bubblewrap"
)


def runs(*run: Happened) -> list[ToolRun]:
    return [row for row in folded(VIEW, recorded(run))[RUNS].values() if isinstance(row, ToolRun)]


def totals(*run: Happened) -> list[ToolTotal]:
    return [row for row in folded(VIEW, recorded(run))[TOTALS].values() if isinstance(row, ToolTotal)]


def test_a_run_that_has_not_returned_is_running() -> None:
    called = happened("tools", CALLED)
    assert runs(called) == [
        ToolRun(
            project="demo", call="tools/t1@1", task="t1", role="tester", tool="tests.run", request="r1",
            status="running", called_at=BEGIN, position=1, at=BEGIN,
        )
    ]  # fmt: skip
    assert [(row.tool, row.runs, row.failed) for row in totals(called)] == [("tests.run", 1, 0)]


def test_a_return_ends_its_run() -> None:
    run = (happened("tools", CALLED), happened("tools", RETURNED, second=9))
    assert runs(*run) == [
        ToolRun(
            project="demo", call="tools/t1@1", task="t1", role="tester", tool="tests.run", request="r1",
            status="failed", run_us=1_250_000, findings=3, sandbox="bubblewrap", summary="3 tests failed",
            called_at=BEGIN, returned_at=BEGIN + timedelta(seconds=9), position=2, at=BEGIN + timedelta(seconds=9),
        )
    ]  # fmt: skip
    (total,) = totals(*run)
    assert (total.runs, total.failed, total.ok, total.run_us, total.findings) == (1, 1, 0, 1_250_000, 3)


def test_each_status_is_counted_apart_and_the_longest_run_is_known() -> None:
    ends: tuple[tuple[Status, float], ...] = (
        ("ok", 0.5), ("not_applicable", 0.0), ("could_not_run", 0.25), ("failed", 2.0), ("ok", 1.0),
    )  # fmt: skip
    again = [
        happened("tools", ToolReturned(f"tools/t1@{n}", "tester", "tests.run", status, "s", seconds=seconds))
        for n, (status, seconds) in enumerate(ends, start=1)
    ]
    (total,) = totals(*[happened("tools", CALLED)] * 6, *again)
    assert (total.ok, total.not_applicable, total.could_not_run, total.failed) == (2, 1, 1, 1)
    assert (total.runs, total.run_us, total.run_max_us) == (6, 3_750_000, 2_000_000)


def test_projects_and_tasks_are_apart() -> None:
    called = [happened("tools", CALLED), happened("tools", CALLED, name="t2")]
    other = happened("tools", CALLED, project="other")
    assert [(row.project, row.call) for row in runs(*called, other)] == [
        ("demo", "tools/t1@1"), ("demo", "tools/t2@1"), ("other", "tools/t1@1"),
    ]  # fmt: skip
    assert [(row.project, row.runs) for row in totals(*called, other)] == [("demo", 2), ("other", 1)]


@pytest.mark.parametrize("run", [small_run(), small_run() + small_run(task="t2")], ids=["one", "two"])
def test_the_totals_are_the_sums_over_the_runs(run: list[Happened]) -> None:
    made = runs(*run)
    assert {row.status for row in made} == {"ok", "failed", "could_not_run"}
    for total in totals(*run):
        of_tool = [row for row in made if row.tool == total.tool]
        assert total.runs == len(of_tool)
        assert total.ok + total.failed + total.could_not_run == len(of_tool)
        assert total.run_us == sum(row.run_us for row in of_tool) > 0
        assert total.findings == sum(row.findings for row in of_tool) > 0
    assert {tag_of(cls) for cls in TYPES} <= {tag_of(each.event) for each in run}


def test_a_return_without_its_call_is_a_run_too() -> None:
    (run,) = runs(happened("tools", RETURNED))
    assert (run.status, run.called_at, run.returned_at, run.request) == ("failed", None, BEGIN, "")
    assert len(runs(*arbitrary_run(3, 300))) > 9, "some were called, some only returned"
