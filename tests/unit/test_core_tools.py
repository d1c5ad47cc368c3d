"""The tools of a task: each call once, each return once, and every call knows what it builds on."""

from typing import Any

import pytest

from actors.runtime.kind import Effect, Send
from actors.services.tools.catalogue import ToolSpec
from actors.services.tools.core import CALLS_MAX
from actors.services.tools.effects import kind
from protocol.role import RecordToolResult
from protocol.tools import FileRef, PriorRef, RecordReturn, RunTool, ToolCalled, ToolReturned, ToolWork
from tests.kit.scenario import Scenario, silent

CATALOGUE = {
    spec.name: spec
    for spec in (
        ToolSpec("prepare", "", "read"),
        ToolSpec("scan", "", "read", ("prepare",)),
        ToolSpec("report", "", "read", ("*",)),
    )
}
KIND = kind(CATALOGUE)
NEW = Scenario.of(KIND)
FILE = FileRef("a.md", "text/markdown", "cd" * 32, 9)


def run(tool: str, request: str = "r1", role: str = "tester", **args: Any) -> RunTool:
    return RunTool(role, request, tool, "review", "/srv/repo", args)


def called(tool: str, request: str = "r1", role: str = "tester", **args: Any) -> ToolCalled:
    return ToolCalled(role, request, tool, "review", "/srv/repo", args)


def work(call: str, tool: str, *prior: PriorRef, **args: Any) -> Effect:
    return Effect("tool", ToolWork(call, tool, "tester", "review", "/srv/repo", args, prior), "repeatable")


def returned(call: str, tool: str, result: str = "blob", status: Any = "ok") -> ToolReturned:
    return ToolReturned(call, "tester", tool, status, "done", result)


def test_a_call_is_named_by_its_event() -> None:
    NEW.when(run("prepare", depth=2)).then(called("prepare", depth=2)).follows(work("tools/t1@1", "prepare", depth=2))


def test_a_return_answers_the_role_that_asked() -> None:
    back = RecordReturn("tools/t1@1", "ok", "2 of 3", "blob", {"failed": 1}, (FILE,), 4, 1.25, "bubblewrap")
    NEW.given(called("prepare")).when(back).then(
        ToolReturned(
            "tools/t1@1", "tester", "prepare", "ok", "2 of 3", "blob", {"failed": 1}, (FILE,), 4, 1.25, "bubblewrap"
        )
    ).follows(
        Send(
            "tester",
            "t1",
            RecordToolResult("r1", "prepare", "tools/t1@1", "ok", "2 of 3", "blob", {"failed": 1}, (FILE,)),
        )
    )


def test_a_call_asked_for_again_is_not_run_again() -> None:
    one = NEW.given(called("prepare"))
    silent(one, run("prepare"), run("scan"))
    silent(one.given(returned("tools/t1@1", "prepare")), run("prepare"))
    one.when(run("prepare", "r2")).then_kinds(ToolCalled)
    one.when(run("prepare", role="security")).then_kinds(ToolCalled)


def test_a_return_counts_once_and_only_for_a_call_there_was() -> None:
    back = NEW.given(called("prepare"), returned("tools/t1@1", "prepare"))
    silent(back, RecordReturn("tools/t1@1", "failed", "again"), RecordReturn("tools/t1@2", "ok", "of a return"))
    silent(NEW, RecordReturn("tools/t1@1", "ok", "nobody called"))


def test_a_tool_is_given_the_latest_results_of_what_it_needs() -> None:
    history = NEW.given(
        called("prepare", "r1"),  # @1
        returned("tools/t1@1", "prepare", "old"),  # @2
        called("prepare", "r2"),  # @3
        called("other", "r3"),  # @4
        returned("tools/t1@4", "other", "else"),  # @5
    )
    old = PriorRef("prepare", "tools/t1@1", "old")
    history.when(run("scan", "r4")).follows(work("tools/t1@6", "scan", old))
    again = history.given(returned("tools/t1@3", "prepare", "new"))  # @6
    new, other = PriorRef("prepare", "tools/t1@3", "new"), PriorRef("other", "tools/t1@4", "else")
    again.when(run("scan", "r4")).follows(work("tools/t1@7", "scan", new))
    again.when(run("report", "r4")).follows(work("tools/t1@7", "report", new, other))
    again.when(run("prepare", "r4")).follows(work("tools/t1@7", "prepare"))


def test_a_result_that_was_lost_is_given_to_nobody() -> None:
    NEW.given(called("prepare"), returned("tools/t1@1", "prepare", "", "failed")).when(run("scan", "r2")).follows(
        work("tools/t1@3", "scan")
    )


def test_an_unknown_tool_is_called_and_its_performer_says_so() -> None:
    NEW.when(run("fly")).then(called("fly")).follows(work("tools/t1@1", "fly"))


def test_a_task_that_runs_in_a_circle_is_stopped() -> None:
    many = NEW.given(*(called("prepare", f"r{n}") for n in range(CALLS_MAX)))
    many.when(run("prepare", "more")).refused("too-many-calls", str(CALLS_MAX))


@pytest.mark.parametrize("command", [RunTool, RecordReturn])
def test_nothing_comes_from_outside(command: type) -> None:
    assert not issubclass(command, KIND.external)
