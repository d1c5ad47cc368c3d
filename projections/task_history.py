"""What happened in a task, in order and in few words: a line for each event that moved it, the event named.

A line says nothing that is not in its event, and no text that somebody wrote: `detail` is made of names, outcomes and
numbers. So a line never depends on another, and ranges of the log can be folded apart.
"""

from typing import Literal

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.orchestrator import CompanyFinished, DeliveryRecorded, PlanMade, RoleRequested, RoleStarted
from protocol.registry import ChoiceQueued, ChoiceWithdrawn
from protocol.role import RoleAssigned, RoleDelivered
from protocol.router import CompletionFailed
from protocol.runtime import ActorDropped, ActorRetried, CommandQuarantined
from protocol.task import TaskConcluded, TaskSubmitted
from protocol.tools import ToolCalled, ToolReturned

ORCHESTRATOR = "orchestrator"
TYPES: tuple[type[Event], ...] = (
    TaskSubmitted,
    TaskConcluded,
    PlanMade,
    RoleRequested,
    RoleStarted,
    DeliveryRecorded,
    CompanyFinished,
    ChoiceQueued,
    ChoiceWithdrawn,
    RoleAssigned,
    RoleDelivered,
    ToolCalled,
    ToolReturned,
    CompletionFailed,
    CommandQuarantined,
    ActorRetried,
    ActorDropped,
)

Happened = Literal[
    "submitted",
    "planned",  # detail: the roles
    "requested",  # an agent for the role
    "queued",  # since every agent of the role is full
    "withdrawn",  # the request
    "assigned",  # the agent to the role
    "working",
    "tool_called",  # detail: the tool
    "tool_returned",  # detail: the tool and its status
    "completion_failed",  # detail: the turn
    "prepared",  # the orchestrator's own part
    "delivered",
    "failed",
    "recorded",  # the orchestrator's note of a delivery, or that none came in time; detail: the outcome
    "quarantined",  # detail: the command's type
    "retried",
    "dropped",
    "finished",  # the company; detail: outcome and verdict
    "concluded",  # detail: outcome and verdict
]


class Line(Row, kw_only=True):
    """One line. `event` is the reference of its event ("tools/t1@3"), `causation` what that was caused by."""

    project: str
    task: str
    happened: Happened
    role: str = ""
    agent: str = ""
    detail: str = ""
    event: str
    causation: str


HISTORY = Table("task_history", Line, ("project", "task", "position"), once=True)


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """The line of one event."""
    if event is None:
        return
    task, happened, role, agent, detail = _told(recorded, event)
    line = Line(
        project=recorded.address.project,
        task=task,
        happened=happened,
        role=role,
        agent=agent,
        detail=detail,
        event=recorded.reference,
        causation=recorded.causation,
    )
    rows.add(HISTORY, line)


def _told(recorded: Recorded, event: Event) -> tuple[str, Happened, str, str, str]:
    """Task, what happened, role, agent and detail."""
    task, role = recorded.address.name, recorded.address.kind
    match event:
        case TaskSubmitted():
            return task, "submitted", "", "", ""
        case TaskConcluded(outcome=outcome, verdict=verdict):
            return task, "concluded", "", "", _joined(outcome, verdict)
        case RoleAssigned(agent=agent):
            return task, "working", role, agent, ""
        case RoleDelivered(outcome=outcome, files=files):
            done = "prepared" if role == ORCHESTRATOR else "delivered"
            return task, done if outcome == "completed" else "failed", role, "", _files(len(files))
        case ToolCalled(role=caller, tool=tool):
            return task, "tool_called", caller, "", tool
        case ToolReturned(role=caller, tool=tool, status=status):
            return task, "tool_returned", caller, "", _joined(tool, status)
        case CompletionFailed(role=asker, turn=turn):
            return task, "completion_failed", asker, "", f"turn {turn}"
        case ChoiceQueued(role=wanted, task=waiting):
            return waiting, "queued", wanted, "", ""
        case ChoiceWithdrawn(role=wanted, task=waiting):
            return waiting, "withdrawn", wanted, "", ""
        case CommandQuarantined(kind=kind, command_type=command):
            return recorded.correlation, "quarantined", kind, "", command
        case ActorRetried(kind=kind, name=name):
            return name, "retried", kind, "", ""
        case ActorDropped(kind=kind, name=name):
            return name, "dropped", kind, "", ""
        case _:
            return task, *_of_company(event)


def _of_company(event: Event) -> tuple[Happened, str, str, str]:
    """The orchestrator's events about the others."""
    match event:
        case PlanMade(roles=roles):
            return "planned", ORCHESTRATOR, "", _joined(*(planned.role for planned in roles))
        case RoleRequested(role=role):
            return "requested", role, "", ""
        case RoleStarted(role=role, agent=agent):
            return "assigned", role, agent, ""
        case DeliveryRecorded(role=role, agent=agent, outcome=outcome):
            return "recorded", role, agent, outcome
        case CompanyFinished(outcome=outcome, verdict=verdict):
            return "finished", ORCHESTRATOR, "", _joined(outcome, verdict)
        case _:
            raise TypeError(f"{type(event).__name__} is in TYPES and has no line")


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}" if count else ""


VIEW = View("task_history", 1, "task_history_schema", (HISTORY,), TYPES, project)
