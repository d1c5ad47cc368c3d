"""The task board: every task with its roles, what each is doing, what each delivered, and what it all came to.

A role's status only moves forward: waiting, requested, working, then completed or failed, whichever comes first. The
orchestrator is `completed` when the company has finished; its own delivery is only the end of its preparation. The
board knows tasks that were submitted, roles that were planned or assigned in them, and files that such roles delivered:
what is said of others changes nothing.
"""

from datetime import datetime

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.orchestrator import CompanyFinished, DeliveryRecorded, PlanMade, RoleRequested, RoleStarted
from protocol.role import Delivery, QuestionAsked, RoleAssigned, RoleBriefed, RoleDelivered, ToolAnswered, ToolWanted
from protocol.router import CompletionFailed
from protocol.runtime import CommandQuarantined
from protocol.task import TaskConcluded, TaskSubmitted
from protocol.tools import FileRef, Status, ToolCalled, ToolReturned

ORCHESTRATOR = "orchestrator"
OVER = ("completed", "failed")
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


class Task(Row, kw_only=True):
    """One task; `events` are all that it caused, in whatever stream."""

    project: str
    task: str
    title: str = ""
    repo: str = ""
    person: str = ""
    contact: str = ""
    status: str = "submitted"
    verdict: str = ""
    summary: str = ""
    submitted_at: datetime
    submitted_position: int
    started_at: datetime | None = None
    concluded_at: datetime | None = None
    roles_total: int = 0
    roles_done: int = 0
    events: int = 0
    quarantined: int = 0


class Role(Row, kw_only=True):
    """One role of a task."""

    project: str
    task: str
    role: str
    ordinal: int = 0
    status: str = "waiting"
    agent: str = ""
    needs: tuple[str, ...] = ()
    tool_calls: int = 0
    tools_returned: int = 0
    tools_failed: int = 0
    tools_could_not_run: int = 0
    tools_not_applicable: int = 0
    errors: int = 0
    artifacts: int = 0
    activity: str = ""
    assigned_at: datetime | None = None
    delivered_at: datetime | None = None
    summary: str = ""


class Artifact(Row, kw_only=True):
    """One file that a role delivered, as of its last delivery."""

    project: str
    task: str
    role: str
    path: str
    ordinal: int = 0
    media_type: str = ""
    sha256: str = ""
    size_bytes: int = 0


class TaskEvents(Row, kw_only=True):
    """How many events of one type a task caused."""

    project: str
    task: str
    type: str
    events: int = 0


TASKS = Table("tasks", Task, ("project", "task"))
ROLES = Table("task_roles", Role, ("project", "task", "role"))
ARTIFACTS = Table("task_artifacts", Artifact, ("project", "task", "role", "path"))
EVENTS = Table("task_event_counts", TaskEvents, ("project", "task", "type"))


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """What one event changes on the board. An event of a type outside TYPES only counts for its task."""
    if event is not None:
        _of_task(recorded, event, rows)
        _of_company(recorded, event, rows)
        _of_role(recorded, event, rows)
        _of_services(recorded, event, rows)
    _counted(recorded, rows)  # After the rest: the task's own row comes with its first event.


def _of_task(recorded: Recorded, event: Event, rows: Rows) -> None:
    key = recorded.address.project, recorded.address.name
    match event:
        case TaskSubmitted(title=title, repo=repo, person=person, contact=contact):
            task = rows.find(TASKS, *key) or rows.add(
                TASKS,
                Task(project=key[0], task=key[1], submitted_at=recorded.at, submitted_position=recorded.position),
            )
            task.title, task.repo, task.person, task.contact = title, repo, person, contact
        case TaskConcluded(outcome=outcome, verdict=verdict, summary=summary):
            if task := rows.find(TASKS, *key):
                task.status, task.verdict, task.summary = outcome, verdict, summary
                task.concluded_at = recorded.at
        case _:
            return


def _of_company(recorded: Recorded, event: Event, rows: Rows) -> None:
    """The orchestrator's events about the others. `recorded` is in its stream, so its name is the task's."""
    key = recorded.address.project, recorded.address.name
    match event:
        case PlanMade(roles=roles):
            _started(recorded, rows)
            for place, planned in enumerate(roles, start=1):
                if role := rows.find(ROLES, *key, planned.role) or _new_role(recorded, planned.role, rows):
                    role.needs, role.ordinal = planned.needs, place  # Already at work it keeps its status.
        case RoleRequested(role=name):
            if (role := rows.find(ROLES, *key, name)) and role.status == "waiting":
                role.status, role.activity = "requested", "waiting for an agent"
        case RoleStarted(role=name, agent=agent):
            if role := rows.find(ROLES, *key, name):
                role.agent = agent
                if role.status == "requested":
                    role.activity = "being assigned"
        case DeliveryRecorded(role=name, outcome=outcome, summary=summary):
            if name != ORCHESTRATOR:
                _concluded(recorded, name, outcome, summary, rows)
        case CompanyFinished(outcome=outcome, summary=summary):
            _concluded(recorded, ORCHESTRATOR, outcome, summary, rows)
        case _:
            return


def _of_role(recorded: Recorded, event: Event, rows: Rows) -> None:
    """What a role says of itself. The stream's kind is the role, its name the task."""
    name = recorded.address.kind
    match event:
        case RoleAssigned(agent=agent):
            if name == ORCHESTRATOR:
                _started(recorded, rows)
            role = rows.find(ROLES, recorded.address.project, recorded.address.name, name)
            role = role or _new_role(recorded, name, rows)
            # One that already failed (its time was up) stays failed.
            if role and role.status in ("waiting", "requested"):
                role.status, role.agent, role.activity, role.assigned_at = "working", agent, "recalling", recorded.at
        case RoleBriefed() | QuestionAsked():
            _active(recorded, "thinking", rows)
        case ToolWanted(request=request):
            _active(recorded, request.tool, rows)
        case ToolAnswered(tool=tool):
            _active(recorded, "waiting for tools", rows, instead_of=tool)
        case RoleDelivered(outcome=outcome, summary=summary, files=files):
            _filed(recorded, files, rows)
            if name == ORCHESTRATOR:
                _active(recorded, "following the roles", rows)
            else:
                _concluded(recorded, name, outcome, summary, rows)
        case _:
            return


def _of_services(recorded: Recorded, event: Event, rows: Rows) -> None:
    """What tools, router and runtime did for a role. The tools' and the router's streams have the task's name."""
    key = recorded.address.project, recorded.address.name
    match event:
        case ToolCalled(role=name):
            if role := rows.find(ROLES, *key, name):
                role.tool_calls += 1
        case ToolReturned(role=name, status=status):
            if role := rows.find(ROLES, *key, name):
                _returned(role, status)
        case CompletionFailed(role=name):
            if role := rows.find(ROLES, *key, name):
                role.errors += 1
        case CommandQuarantined():
            if task := rows.find(TASKS, key[0], recorded.correlation):
                task.quarantined += 1
        case _:
            return


def _counted(recorded: Recorded, rows: Rows) -> None:
    """Every event counts for the task that caused it, if there is such a task."""
    key = recorded.address.project, recorded.correlation
    task = rows.find(TASKS, *key)
    if task is None:
        return
    task.events += 1
    counted = rows.find(EVENTS, *key, recorded.type)
    if counted is None:
        counted = rows.add(EVENTS, TaskEvents(project=key[0], task=key[1], type=recorded.type))
    counted.events += 1


def _started(recorded: Recorded, rows: Rows) -> None:
    task = rows.find(TASKS, recorded.address.project, recorded.address.name)
    if task and task.status == "submitted":
        task.status, task.started_at = "active", recorded.at


def _new_role(recorded: Recorded, name: str, rows: Rows) -> Role | None:
    """Of a task on the board, whose roles it makes one more."""
    task = rows.find(TASKS, recorded.address.project, recorded.address.name)
    if task is None:
        return None
    task.roles_total += 1
    return rows.add(ROLES, Role(project=task.project, task=task.task, role=name))


def _active(recorded: Recorded, activity: str, rows: Rows, instead_of: str | None = None) -> None:
    """`instead_of`: several tools may be at work; the last one asked for is shown until it has answered."""
    role = rows.find(ROLES, recorded.address.project, recorded.address.name, recorded.address.kind)
    if role and role.status == "working" and instead_of in (None, role.activity):
        role.activity = activity


def _concluded(recorded: Recorded, name: str, outcome: Delivery, summary: str, rows: Rows) -> None:
    """The first outcome counts: a delivery after the orchestrator gave the role up changes nothing."""
    key = recorded.address.project, recorded.address.name
    role = rows.find(ROLES, *key, name)
    if role is None or role.status in OVER:
        return
    role.status, role.summary, role.delivered_at, role.activity = outcome, summary, recorded.at, ""
    if task := rows.find(TASKS, *key):
        task.roles_done += 1


def _filed(recorded: Recorded, files: tuple[FileRef, ...], rows: Rows) -> None:
    """The files of a delivery, in the place of those of the same paths."""
    key = recorded.address.project, recorded.address.name, recorded.address.kind
    role = rows.find(ROLES, *key)
    if role is None:
        return
    for place, file in enumerate(files):
        artifact = rows.find(ARTIFACTS, *key, file.path)
        if artifact is None:
            artifact = rows.add(ARTIFACTS, Artifact(project=key[0], task=key[1], role=key[2], path=file.path))
            role.artifacts += 1
        artifact.ordinal, artifact.media_type = place, file.media_type
        artifact.sha256, artifact.size_bytes = file.blob, file.size_bytes


def _returned(role: Role, status: Status) -> None:
    role.tools_returned += 1
    role.tools_failed += status == "failed"
    role.tools_could_not_run += status == "could_not_run"
    role.tools_not_applicable += status == "not_applicable"
    role.errors += status == "failed"


# 2: whom a task concerns. 3: rows by key, each with the event that touched it last.
VIEW = View("task_board", 3, "task_board_schema", (TASKS, ROLES, ARTIFACTS, EVENTS), TYPES, project, every=True)
