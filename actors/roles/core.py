"""What every role does: take an assignment, recall, ask, call tools, ask again, deliver. Pure; the playbook is data.

One assignment a stream (the stream is the role's part in one task). A repetition is silent; an answer to a question
that
was not asked is silent too. A role always delivers: what it could not do is said in its delivery.
"""

from typing import Literal, assert_never

import msgspec

from protocol.message import Event
from protocol.role import (
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
from protocol.subjects import Address
from protocol.tools import Fact, FileRef

TURNS_MAX = 32  # Questions to the model in one assignment.
TOOL_CALLS_MAX = 64
SUMMARY_LENGTH_MAX = 600

Commands = AssignRole | RecordRecall | RecordCompletion | RecordToolResult
Events = RoleAssigned | RoleBriefed | ToolWanted | ToolAnswered | QuestionAsked | RoleDelivered


class State(msgspec.Struct, frozen=True):
    """`pending` are the tool calls of the running turn without an answer, `asking` the answers the next question
    adds."""

    role: str
    task: str
    phase: Literal["new", "briefing", "thinking", "acting", "done"] = "new"
    title: str = ""
    repo: str = ""
    agent: str = ""
    turn: int = 0
    pending: dict[str, ToolRequest] = {}
    answers: tuple[ToolAnswered, ...] = ()
    asking: tuple[ToolAnswered, ...] = ()
    requests: frozenset[str] = frozenset()
    summaries: tuple[tuple[str, str], ...] = ()  # Tool and what it said.
    facts: dict[str, Fact] = {}
    files: tuple[FileRef, ...] = ()


def initial(address: Address) -> State:
    return State(address.kind, address.name)


def decide(state: State, command: Commands) -> tuple[Event, ...]:
    match command:
        case AssignRole(title=title, agent=agent, repo=repo):
            return (RoleAssigned(title, agent, repo),) if state.phase == "new" else ()
        case RecordRecall(memories=memories):
            return (RoleBriefed(memories),) if state.phase == "briefing" else ()
        case RecordCompletion(turn=turn):
            return _completed(state, command) if state.phase == "thinking" and turn == state.turn else ()
        case RecordToolResult(request=request):
            if state.phase != "acting" or request not in state.pending:
                return ()
            answered = ToolAnswered(
                request, command.tool, command.call, command.status, command.summary, command.result,
                command.facts, command.files,
            )  # fmt: skip
            last = len(state.pending) == 1
            return (answered, QuestionAsked(state.turn + 1)) if last else (answered,)
        case _:
            assert_never(command)


def _completed(state: State, command: RecordCompletion) -> tuple[Event, ...]:
    """The model wants tools, or has finished, or could not answer."""
    if command.error:
        return (_failed(state, f"the router has no answer: {command.error}"),)
    wanted = {request.id: request for request in command.tool_calls if request.id not in state.requests}
    if wanted:
        if state.turn >= TURNS_MAX or len(state.requests) + len(wanted) > TOOL_CALLS_MAX:
            return (_failed(state, f"stopped after {state.turn} questions and {len(state.requests)} tool calls"),)
        return tuple(ToolWanted(state.turn, request) for request in wanted.values())
    if not command.text:
        return (_failed(state, "the model answered with neither text nor a new tool call"),)
    report = FileRef("report.md", "text/markdown", command.text, command.text_bytes)
    said = [text if len(state.summaries) == 1 else f"{tool}: {text}" for tool, text in state.summaries]
    summary = " · ".join(said)[:SUMMARY_LENGTH_MAX] or "reported without calling a tool"
    files = (report, *state.files)
    return (RoleDelivered("completed", summary, state.facts, files, len(state.requests), command.label),)


def _failed(state: State, reason: str) -> RoleDelivered:
    return RoleDelivered("failed", reason[:SUMMARY_LENGTH_MAX], state.facts, state.files, len(state.requests))


def evolve(state: State, event: Events) -> State:
    replace = msgspec.structs.replace
    match event:
        case RoleAssigned(title=title, agent=agent, repo=repo):
            return replace(state, phase="briefing", title=title, agent=agent, repo=repo)
        case RoleBriefed():
            return replace(state, phase="thinking", turn=1)
        case ToolWanted(request=request):
            return replace(
                state,
                phase="acting",
                pending={**state.pending, request.id: request},
                requests=state.requests | {request.id},
                asking=(),
            )
        case ToolAnswered(request=request, tool=tool, summary=summary):
            pending = {id_: wanted for id_, wanted in state.pending.items() if id_ != request}
            return replace(
                state,
                pending=pending,
                answers=(*state.answers, event),
                summaries=(*state.summaries, (tool, summary)),
                facts=state.facts | {f"{tool}.{name}": value for name, value in event.facts.items()},
                files=(*state.files, *event.files),
            )
        case QuestionAsked(turn=turn):
            return replace(state, phase="thinking", turn=turn, asking=state.answers, answers=())
        case RoleDelivered():
            return replace(state, phase="done")
        case _:
            assert_never(event)
