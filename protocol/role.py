"""Commands and events every role shares. The tag's prefix names the contract (`role`), the subject names the role."""

from typing import Any, Literal, get_args

import msgspec

from protocol.message import Command, Event
from protocol.tools import Fact, FileRef, Status
from protocol.upcast import Upcast

RoleName = Literal[
    "architect",
    "developer",
    "code-reviewer",
    "tester",
    "documenter",
    "marketer",
    "presenter",
    "devops",
    "monitor",
    "security",
    "project-manager",
    "decision-maker",
    "orchestrator",
]
ROLES: tuple[RoleName, ...] = get_args(RoleName)
Delivery = Literal["completed", "failed"]


class ToolRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool call as the model asked for it; `id` is the model's own name for the call."""

    id: str
    tool: str
    args: dict[str, Any] = {}


class AssignRole(Command, frozen=True, tag="role.assign.v1", omit_defaults=True):
    """Take part in a task, as that agent."""

    title: str
    agent: str
    repo: str = ""


class RecordRecall(Command, frozen=True, tag="role.record_recall.v1", omit_defaults=True):
    """Memory's answer: what the company remembers of earlier work on this subject, newest first."""

    memories: tuple[str, ...] = ()


class RecordCompletion(Command, frozen=True, tag="role.record_completion.v1", omit_defaults=True):
    """The router's answer to the role's question number `turn`. `text` is the blob of the answer's text ("" when it
    has none)."""

    turn: int
    tool_calls: tuple[ToolRequest, ...] = ()
    text: str = ""
    text_bytes: int = 0
    label: str = ""
    error: str = ""


class RecordToolResult(Command, frozen=True, tag="role.record_tool_result.v1", omit_defaults=True):
    """The tools actor's answer: `call` is the event of the tool call, `result` the blob of its whole result."""

    request: str
    tool: str
    call: str
    status: Status
    summary: str
    result: str = ""
    facts: dict[str, Fact] = {}
    files: tuple[FileRef, ...] = ()


class RoleAssigned(Event, frozen=True, tag="role.assigned.v1", omit_defaults=True):
    title: str
    agent: str
    repo: str = ""


class RoleBriefed(Event, frozen=True, tag="role.briefed.v1", omit_defaults=True):
    """The role has recalled what it knows and asks its first question."""

    memories: tuple[str, ...] = ()


class ToolWanted(Event, frozen=True, tag="role.tool_wanted.v1", omit_defaults=True):
    turn: int
    request: ToolRequest


class ToolAnswered(Event, frozen=True, tag="role.tool_answered.v1", omit_defaults=True):
    request: str
    tool: str
    call: str
    status: Status
    summary: str
    result: str = ""
    facts: dict[str, Fact] = {}
    files: tuple[FileRef, ...] = ()


class QuestionAsked(Event, frozen=True, tag="role.question_asked.v1", omit_defaults=True):
    """All tool calls of the turn have answered; the role asks again."""

    turn: int


class RoleDelivered(Event, frozen=True, tag="role.delivered.v1", omit_defaults=True):
    """The role is done. `files` are its artifacts, its report first."""

    outcome: Delivery
    summary: str
    facts: dict[str, Fact] = {}
    files: tuple[FileRef, ...] = ()
    tool_calls: int = 0
    label: str = ""


COMMANDS = (AssignRole, RecordRecall, RecordCompletion, RecordToolResult)
EVENTS = (RoleAssigned, RoleBriefed, ToolWanted, ToolAnswered, QuestionAsked, RoleDelivered)
RETIRED: tuple[Upcast, ...] = ()
