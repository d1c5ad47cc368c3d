"""What a model may make a role do: call the tools of its playbook, with the arguments the playbook leaves open."""

from typing import Any

from actors import casting
from actors.roles.core import State
from actors.roles.effects import brief, react
from actors.roles.playbook import load_playbooks
from actors.runtime.kind import Send
from actors.services.tools.catalogue import CATALOGUE
from protocol.role import QuestionAsked, RecordToolResult, ToolAnswered, ToolRequest, ToolWanted
from protocol.router import Complete, ResultAdded
from protocol.tools import RunTool

PLAYBOOKS = load_playbooks(tools=CATALOGUE)
JUDGE = PLAYBOOKS["decision-maker"]
STATE = State("decision-maker", "t1", "acting", "review", "/repo")


def called(request: ToolRequest) -> Send:
    (send,) = react(JUDGE, STATE, ToolWanted(1, request))
    assert isinstance(send, Send)
    return send


def test_the_playbook_fixes_its_arguments_whatever_the_model_says() -> None:
    rules = JUDGE.steps[0].args["rules"]
    tries: list[dict[str, Any]] = [{}, {"rules": []}, {"rules": [{"id": "all-good"}]}]
    for args in tries:
        send = called(ToolRequest("c1", "verdict.decide", args))
        assert (send.kind, send.name) == ("tools", "t1")
        assert isinstance(send.command, RunTool)
        assert send.command.args == {"rules": rules}


def test_arguments_that_are_left_open_go_through() -> None:
    send = called(ToolRequest("c1", "verdict.decide", {"depth": 3}))
    assert isinstance(send.command, RunTool)
    assert send.command.args["depth"] == 3


def test_a_tool_of_another_role_is_not_called_and_the_model_hears_why() -> None:
    send = called(ToolRequest("c9", "lint.fix"))
    assert (send.kind, send.name) == ("decision-maker", "t1"), "the answer goes to the role itself"
    answer = send.command
    assert isinstance(answer, RecordToolResult)
    assert (answer.request, answer.status, answer.result) == ("c9", "failed", "")
    assert "its tools are verdict.decide" in answer.summary


def test_the_reason_of_a_call_without_result_reaches_the_question() -> None:
    refused = ToolAnswered("c9", "lint.fix", "", "failed", "no such tool")
    ran = ToolAnswered("c1", "verdict.decide", "tools/t1@3", "ok", "go", "blob")
    state = State("decision-maker", "t1", "thinking", "review", "/repo", asking=(refused, ran))
    (send,) = react(JUDGE, state, QuestionAsked(2))
    assert isinstance(send, Send)
    assert isinstance(send.command, Complete)
    assert send.command.adds == (
        ResultAdded("c9", "lint.fix", "", "", "no such tool"),
        ResultAdded("c1", "verdict.decide", "tools/t1@3", "blob"),
    )


def test_what_the_playbook_fixes_is_not_offered_to_the_model() -> None:
    (definition,) = casting.router_roles(PLAYBOOKS)["decision-maker"].tools
    assert definition.parameters == {"type": "object", "properties": {}, "required": []}
    assert CATALOGUE["verdict.decide"].parameters is not None
    assert "rules" in CATALOGUE["verdict.decide"].parameters["properties"], "the catalogue itself is untouched"


def test_a_brief_names_the_tools_in_order_and_the_title() -> None:
    text = brief(PLAYBOOKS["security"], State("security", "t1", title="review", repo="/repo"), ("went well",))
    assert "security.scan, then secrets.scan, then dependencies.list, then advisories.lookup" in text
    assert "`# Security`" in text
    assert "- went well" in text
