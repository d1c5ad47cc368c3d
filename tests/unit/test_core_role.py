"""A role: assigned, recalls, asks, calls tools, asks on, delivers. Always delivers."""

from typing import Any

import pytest

from actors.roles.core import SUMMARY_LENGTH_MAX, TOOL_CALLS_MAX, TURNS_MAX
from actors.roles.effects import MEMORY, RECALL_LIMIT, make_role
from actors.roles.playbook import Playbook, Step
from actors.runtime.kind import Reaction, Send
from protocol.memory import Recall, Remember
from protocol.message import Command, Event
from protocol.orchestrator import RecordDelivery
from protocol.role import (
    COMMANDS,
    AssignRole,
    QuestionAsked,
    RecordCompletion,
    RecordRecall,
    RecordToolResult,
    RoleAssigned,
    RoleBriefed,
    RoleDelivered,
    ToolAnswered,
    ToolRequest,
    ToolWanted,
)
from protocol.router import Complete, ResultAdded, TextAdded
from protocol.tools import FileRef, RunTool
from tests.kit.scenario import Scenario, silent

BOOK = Playbook("tester", "technical", "Tester", 3, "Test.", "Tests", (Step("tests.run"), Step("docs.check")))
KIND = make_role(BOOK)
NEW = Scenario.of(KIND)
ASSIGNED = NEW.given(RoleAssigned("review", "tester-1", "/srv/repo"))
BRIEFED = ASSIGNED.given(RoleBriefed())
ONE, TWO = ToolRequest("r1", "tests.run", {"depth": 1}), ToolRequest("r2", "docs.check")
ACTING = BRIEFED.given(ToolWanted(1, ONE), ToolWanted(1, TWO))
REPORT = FileRef("report.md", "text/markdown", "ef" * 32, 120)
LOG = FileRef("tests.log", "text/plain", "ab" * 32, 9)


def result(request: str, tool: str = "tests.run", **more: Any) -> RecordToolResult:
    return RecordToolResult(request, tool, f"tools/t1@{request[1:]}", "ok", f"{tool} done", f"blob-{request}", **more)


def answered(request: str, tool: str = "tests.run", **more: Any) -> ToolAnswered:
    return ToolAnswered(request, tool, f"tools/t1@{request[1:]}", "ok", f"{tool} done", f"blob-{request}", **more)


def delivered(role_delivered: RoleDelivered, memory: str) -> tuple[Reaction, ...]:
    d = role_delivered
    return (
        Send("orchestrator", "t1", RecordDelivery("tester", d.outcome, d.summary, d.facts, len(d.files))),
        Send("memory", MEMORY, Remember("/srv/repo", "tester", "t1", memory)),
    )


def test_an_assignment_begins_with_what_is_remembered() -> None:
    NEW.when(AssignRole("review", "tester-1", "/srv/repo")).then(
        RoleAssigned("review", "tester-1", "/srv/repo")
    ).follows(Send("memory", MEMORY, Recall("/srv/repo", "tester", "t1", RECALL_LIMIT)))


def test_without_a_repository_the_title_is_what_memories_are_about() -> None:
    NEW.when(AssignRole("write a poem", "tester-1")).follows(
        Send("memory", MEMORY, Recall("write a poem", "tester", "t1", RECALL_LIMIT))
    )


def test_the_first_question_is_the_brief_under_the_playbooks_name() -> None:
    (send,) = ASSIGNED.when(RecordRecall(("its tests failed",))).then(RoleBriefed(("its tests failed",))).followed
    assert isinstance(send, Send)
    assert (send.kind, send.name) == ("router", "t1")
    assert isinstance(send.command, Complete)
    assert (send.command.role, send.command.turn, send.command.playbook) == ("tester", 1, "tester@3")
    (brief,) = send.command.adds
    assert isinstance(brief, TextAdded)
    for word in ("review", "/srv/repo", "tester", "- its tests failed"):
        assert word in brief.text


def test_the_model_may_want_several_tools_at_once() -> None:
    BRIEFED.when(RecordCompletion(1, (ONE, TWO))).then(ToolWanted(1, ONE), ToolWanted(1, TWO)).follows(
        Send("tools", "t1", RunTool("tester", "r1", "tests.run", "review", "/srv/repo", {"depth": 1})),
        Send("tools", "t1", RunTool("tester", "r2", "docs.check", "review", "/srv/repo")),
    )


def test_the_next_question_waits_for_all_tools_and_brings_their_answers_in_the_order_they_came() -> None:
    first = ACTING.when(result("r2", "docs.check")).then(answered("r2", "docs.check")).follows()
    first.when(result("r1")).then(answered("r1"), QuestionAsked(2)).follows(
        Send(
            "router",
            "t1",
            Complete(
                "tester",
                2,
                (
                    ResultAdded("r2", "docs.check", "tools/t1@2", "blob-r2"),
                    ResultAdded("r1", "tests.run", "tools/t1@1", "blob-r1"),
                ),
                "tester@3",
            ),
        )
    )


def test_a_question_adds_only_what_is_new() -> None:
    third = ToolRequest("r3", "secrets.scan")
    asked = ACTING.given(answered("r1"), answered("r2"), QuestionAsked(2), ToolWanted(2, third))
    (send,) = asked.when(result("r3", "secrets.scan")).then(answered("r3", "secrets.scan"), QuestionAsked(3)).followed
    assert isinstance(send, Send)
    assert isinstance(send.command, Complete)
    assert [add.request for add in send.command.adds if isinstance(add, ResultAdded)] == ["r3"]


THINKING = ACTING.given(
    answered("r1", facts={"failed": 2}, files=(LOG,)), answered("r2", "docs.check"), QuestionAsked(2)
)


def test_a_delivery_has_the_report_first_and_every_fact_under_its_tools_name() -> None:
    end = RoleDelivered(
        "completed", "tests.run: tests.run done · docs.check: docs.check done", {"tests.run.failed": 2},
        (REPORT, LOG), 2, "by a script",
    )  # fmt: skip
    THINKING.when(RecordCompletion(2, (), REPORT.blob, REPORT.size_bytes, "by a script")).then(end).follows(
        *delivered(end, end.summary)
    )


def test_a_role_that_called_no_tool_delivers_too() -> None:
    BRIEFED.when(RecordCompletion(1, (), REPORT.blob, REPORT.size_bytes)).then(
        RoleDelivered("completed", "reported without calling a tool", {}, (REPORT,))
    )


@pytest.mark.parametrize(
    ("completion", "words"),
    [
        (RecordCompletion(2, error="quota"), "the router has no answer: quota"),
        (RecordCompletion(2), "neither text nor a new tool call"),
        (RecordCompletion(2, (ONE, TWO)), "neither text nor a new tool call"),
        (RecordCompletion(2, error="x" * 5_000), "xxx"),
    ],
)
def test_a_role_that_cannot_go_on_says_so_in_its_delivery(completion: RecordCompletion, words: str) -> None:
    failed = THINKING.when(completion).then_kinds(RoleDelivered)
    (end,) = failed.decided
    assert isinstance(end, RoleDelivered)
    assert end.outcome == "failed"
    assert words in end.summary
    assert len(end.summary) <= SUMMARY_LENGTH_MAX
    assert end.files == (LOG,), "what it had is delivered"
    failed.follows(*delivered(end, end.summary))


def test_a_role_that_runs_in_a_circle_is_stopped() -> None:
    def outcome(state: Scenario, turn: int, *requests: ToolRequest) -> Any:
        (event,) = state.when(RecordCompletion(turn, requests)).then_kinds(RoleDelivered).decided
        assert isinstance(event, RoleDelivered)
        return event.outcome

    assert outcome(BRIEFED.given(QuestionAsked(TURNS_MAX)), TURNS_MAX, ONE) == "failed"
    many = tuple(ToolRequest(f"r{n}", "tests.run") for n in range(TOOL_CALLS_MAX + 1))
    assert outcome(BRIEFED, 1, *many) == "failed"


def test_repetitions_and_what_nobody_asked_for_are_silent() -> None:
    every: dict[str, Command] = {
        "assign": AssignRole("other", "tester-2"),
        "recall": RecordRecall(("x",)),
        "completion 1": RecordCompletion(1, (ONE,)),
        "completion 2": RecordCompletion(2, (), "blob", 3),
        "result 1": result("r1"),
        "result 9": result("r9"),
    }
    done = THINKING.given(RoleDelivered("completed", "done"))
    for state, meant in (
        (NEW, {"assign"}),
        (ASSIGNED, {"recall"}),
        (BRIEFED, {"completion 1"}),
        (ACTING, {"result 1"}),
        (THINKING, {"completion 2"}),
        (done, set[str]()),
    ):
        silent(state, *(command for name, command in every.items() if name not in meant))
        for name in meant:
            assert state.when(every[name]).decided


def test_a_late_result_of_a_call_that_has_answered_is_silent() -> None:
    silent(ACTING.given(answered("r1")), result("r1"))


@pytest.mark.parametrize("event", [RoleDelivered("failed", "")])
def test_there_is_always_something_to_remember(event: Event) -> None:
    states = BRIEFED.given(event).state
    follows = KIND.react(states, event)
    assert follows[1] == Send("memory", MEMORY, Remember("/srv/repo", "tester", "t1", "failed"))


def test_nothing_comes_from_outside() -> None:
    assert not KIND.external
    assert KIND.commands == COMMANDS
