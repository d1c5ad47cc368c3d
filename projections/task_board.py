"""The task board: every task with its roles, what each is doing, what each delivered, and what it all came to.

A role's status only moves forward: waiting, requested, working, then completed or failed, whichever comes first. The
orchestrator is `completed` when the company has finished; its own delivery is only the end of its preparation.
"""

from collections.abc import Iterator

from eventstore.store import Recorded
from projections.statement import Statement
from protocol.message import Event
from protocol.orchestrator import CompanyFinished, DeliveryRecorded, PlanMade, RoleRequested, RoleStarted
from protocol.retired import vocabulary_of
from protocol.role import QuestionAsked, RoleAssigned, RoleBriefed, RoleDelivered, ToolAnswered, ToolWanted
from protocol.router import CompletionFailed
from protocol.runtime import CommandQuarantined
from protocol.task import TaskConcluded, TaskSubmitted
from protocol.tools import FileRef, ToolCalled, ToolReturned

NAME = "task_board"
VERSION = 2  # 2: whom a task concerns.
SCHEMA = "task_board_schema"
ORCHESTRATOR = "orchestrator"
TYPES: tuple[type[Event], ...] = (
    TaskSubmitted,
    TaskConcluded,
    PlanMade,
    RoleRequested,
    RoleStarted,
    DeliveryRecorded,
    CompanyFinished,
    RoleAssigned,
    RoleBriefed,
    ToolWanted,
    ToolAnswered,
    QuestionAsked,
    RoleDelivered,
    ToolCalled,
    ToolReturned,
    CompletionFailed,
    CommandQuarantined,
)
_VOCABULARY = vocabulary_of(TYPES)


def project(recorded: Recorded) -> Iterator[Statement]:
    """What one event changes on the board. An event of a type outside TYPES only counts for its task."""
    if recorded.type in _VOCABULARY:
        event = _VOCABULARY.decode(recorded.body, recorded.type)
        yield from _of_task(recorded, event)
        yield from _of_company(recorded, event)
        yield from _of_role(recorded, event)
        yield from _of_services(recorded, event)
    # After the rest: the task's own row comes with its first event.
    yield _on("counted", recorded, recorded.correlation, recorded.type, recorded.position)


def _of_task(recorded: Recorded, event: Event) -> Iterator[Statement]:
    task = recorded.address.name
    match event:
        case TaskSubmitted(title=title, repo=repo, person=person, contact=contact):
            yield _on("submitted", recorded, task, title, repo, recorded.at, recorded.position, person, contact)
        case TaskConcluded(outcome=outcome, verdict=verdict, summary=summary):
            yield _on("concluded", recorded, task, outcome, verdict, summary, recorded.at)
        case _:
            return


def _of_company(recorded: Recorded, event: Event) -> Iterator[Statement]:
    """The orchestrator's events about the others. `recorded` is in its stream, so its name is the task's."""
    task = recorded.address.name
    match event:
        case PlanMade(roles=roles):
            yield _on("started", recorded, task, recorded.at)
            for place, planned in enumerate(roles, start=1):
                yield _on("role_planned", recorded, task, planned.role, list(planned.needs), place)
            yield _on("roles_counted", recorded, task)
        case RoleRequested(role=role):
            yield _on("role_requested", recorded, task, role)
        case RoleStarted(role=role, agent=agent):
            yield _on("role_started", recorded, task, role, agent)
        case DeliveryRecorded(role=role, outcome=outcome, summary=summary):
            if role != ORCHESTRATOR:
                yield from _concluded(recorded, role, outcome, summary)
        case CompanyFinished(outcome=outcome, summary=summary):
            yield from _concluded(recorded, ORCHESTRATOR, outcome, summary)
        case _:
            return


def _of_role(recorded: Recorded, event: Event) -> Iterator[Statement]:
    """What a role says of itself. The stream's kind is the role, its name the task."""
    task, role = recorded.address.name, recorded.address.kind
    match event:
        case RoleAssigned(agent=agent):
            if role == ORCHESTRATOR:
                yield _on("started", recorded, task, recorded.at)
            yield _on("role_assigned", recorded, task, role, agent, recorded.at)
            yield _on("roles_counted", recorded, task)
        case RoleBriefed() | QuestionAsked():
            yield _on("role_activity", recorded, task, role, "thinking")
        case ToolWanted(request=request):
            yield _on("role_activity", recorded, task, role, request.tool)
        case ToolAnswered(tool=tool):
            yield _on("tool_answered", recorded, task, role, tool)
        case RoleDelivered(outcome=outcome, summary=summary, files=files):
            yield from _artifacts(recorded, files)
            if role == ORCHESTRATOR:
                yield _on("role_activity", recorded, task, role, "following the roles")
            else:
                yield from _concluded(recorded, role, outcome, summary)
        case _:
            return


def _of_services(recorded: Recorded, event: Event) -> Iterator[Statement]:
    """What tools, router and runtime did for a role. The tools' and the router's streams have the task's name."""
    task = recorded.address.name
    match event:
        case ToolCalled(role=role):
            yield _on("tool_called", recorded, task, role)
        case ToolReturned(role=role, status=status):
            yield _on("tool_returned", recorded, task, role, status)
        case CompletionFailed(role=role):
            yield _on("completion_failed", recorded, task, role)
        case CommandQuarantined():
            yield _on("quarantined", recorded, recorded.correlation)
        case _:
            return


def _concluded(recorded: Recorded, role: str, outcome: str, summary: str) -> Iterator[Statement]:
    task = recorded.address.name
    yield _on("role_delivered", recorded, task, role, outcome, summary, recorded.at)
    yield _on("roles_counted", recorded, task)


def _artifacts(recorded: Recorded, files: tuple[FileRef, ...]) -> Iterator[Statement]:
    task, role = recorded.address.name, recorded.address.kind
    for place, file in enumerate(files):
        yield _on(
            "artifact", recorded, task, role, file.path, place, file.media_type, file.blob, file.size_bytes,
            recorded.position,
        )  # fmt: skip
    yield _on("role_artifacts", recorded, task, role)


def _on(statement: str, recorded: Recorded, task: str, *rest: object) -> Statement:
    """A statement of this view; every one begins with the project, the wall between tenants, and the task."""
    return Statement(f"{NAME}_{statement}", (recorded.address.project, task, *rest))
