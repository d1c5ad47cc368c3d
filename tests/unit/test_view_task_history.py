"""The history of a task, folded in memory."""

from typing import get_args

from projections.task_history import HISTORY, TYPES, VIEW, Happened, Line
from protocol.message import tag_of
from protocol.registry import ChoiceQueued
from protocol.role import RoleDelivered
from protocol.runtime import ActorDropped, CommandQuarantined
from protocol.task import TaskSubmitted
from protocol.tools import ToolReturned
from tests.kit import board_run
from tests.kit.board_run import small_run, troubled_run
from tests.kit.folds import happened, rows_of


def line(of: board_run.Happened) -> Line:
    (row,) = rows_of(VIEW, HISTORY, [of])
    return row


def test_a_run_is_told_in_its_order() -> None:
    lines = rows_of(VIEW, HISTORY, small_run())
    assert [(row.happened, row.agent, row.detail) for row in lines if row.role == "tester"] == [
        ("requested", "", ""),
        ("assigned", "tester-1", ""),
        ("working", "tester-1", ""),
        ("tool_called", "", "tests.run"),
        ("tool_returned", "", "tests.run, failed"),
        ("tool_called", "", "lint.fix"),
        ("tool_returned", "", "lint.fix, could_not_run"),
        ("completion_failed", "", "turn 2"),
        ("failed", "", ""),
        ("recorded", "tester-1", "failed"),
        ("quarantined", "", "role.assign.v1"),
        ("retried", "", ""),
    ]
    assert [(row.happened, row.detail) for row in lines if row.role in ("", "orchestrator")] == [
        ("submitted", ""),
        ("working", ""),
        ("tool_called", "workspace.prepare"),
        ("tool_returned", "workspace.prepare, ok"),
        ("prepared", "1 file"),
        ("planned", "architect, tester, presenter"),
        ("recorded", "completed"),
        ("finished", "completed, hold"),
        ("concluded", "completed, hold"),
    ]
    assert [row.position for row in lines] == sorted(row.position for row in lines)


def test_an_event_of_another_stream_is_told_in_the_task_it_is_about() -> None:
    queued = line(happened("registry", ChoiceQueued("tester", "t7"), name="main"))
    assert (queued.task, queued.happened, queued.role, queued.event) == ("t7", "queued", "tester", "registry/main@1")
    broke = line(happened("runtime", CommandQuarantined("router", "t1", "c9", "router.complete.v1", "x"), name="7"))
    assert (broke.task, broke.happened, broke.role, broke.detail) == (
        "t1", "quarantined", "router", "router.complete.v1",
    )  # fmt: skip
    assert line(happened("runtime", ActorDropped("tester", "t3", "c9"), name="7")).task == "t3"


def test_a_line_quotes_nobody() -> None:
    said = "about-anna"
    run = [
        happened("task", TaskSubmitted(said, said, "p1", said)),
        happened("tester", RoleDelivered("completed", said)),
        happened("tools", ToolReturned("tools/t1@1", "tester", "tests.run", "ok", said)),
        happened("runtime", CommandQuarantined("tester", "t1", "c9", "role.assign.v1", said, said.encode())),
    ]
    assert said not in repr(rows_of(VIEW, HISTORY, run))


def test_every_type_has_its_line_and_every_word_an_event() -> None:
    run = [*small_run(), *troubled_run()]
    assert {tag_of(cls) for cls in TYPES} <= {tag_of(each.event) for each in run}
    assert {row.happened for row in rows_of(VIEW, HISTORY, run)} == set(get_args(Happened))
