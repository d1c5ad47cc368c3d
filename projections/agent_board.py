"""The agent board: who works for a project, how busy each agent is, how its work turned out, and what it took.

An agent is busy from the registry's choice to its release, so that in_flight and load are the registry's own figures.
An agent that took a role up without the registry (the orchestrator's) is busy until the role is delivered, the
orchestrator's until the company has finished. `busy_seconds` sums the time from engagement to end over what is done or
failed; tool runs, completions and their cost count for the agent that has the role in the task. An agent was last seen
at the last event about it.

Uptime is the share of the time since the agent was first heard of in which it was available. It is unavailable while at
least one role that it is at work on is parked: a command broke that role's turn, and nobody has had it retried or
dropped yet. The end of an engagement ends that too, whatever becomes of the parked role. Of an agent that is parked now
the row keeps since when, and who reads it counts up to the time of reading.
"""

from datetime import datetime

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.orchestrator import CompanyFinished, DeliveryRecorded, PlanMade, RoleRequested, RoleStarted
from protocol.registry import AgentChosen, AgentRegistered, AgentReleased, ChoiceQueued, ChoiceWithdrawn
from protocol.role import Delivery, QuestionAsked, RoleAssigned, RoleBriefed, RoleDelivered, ToolAnswered, ToolWanted
from protocol.router import CompletionFailed, CompletionGiven
from protocol.runtime import ActorDropped, ActorRetried, CommandQuarantined
from protocol.tools import ToolCalled, ToolReturned

ORCHESTRATOR = "orchestrator"
TYPES: tuple[type[Event], ...] = (
    AgentRegistered,
    AgentChosen,
    ChoiceQueued,
    ChoiceWithdrawn,
    AgentReleased,
    RoleAssigned,
    RoleBriefed,
    ToolWanted,
    ToolAnswered,
    QuestionAsked,
    RoleDelivered,
    PlanMade,
    RoleRequested,
    RoleStarted,
    DeliveryRecorded,
    CompanyFinished,
    ToolCalled,
    ToolReturned,
    CompletionGiven,
    CompletionFailed,
    CommandQuarantined,
    ActorRetried,
    ActorDropped,
)


class Agent(Row, kw_only=True):
    """One agent. `max_concurrent` 0: at work without having been registered. `errors` are its failed tool runs and
    completions; `cost_micros` is of the `priced` completions only; `parked` counts roles it is at work on."""

    project: str
    agent: str
    role: str
    capabilities: tuple[str, ...] = ()
    max_concurrent: int = 0
    in_flight: int = 0
    done: int = 0
    failed: int = 0
    busy_seconds: float = 0.0
    tool_calls: int = 0
    errors: int = 0
    completions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    priced: int = 0
    cost_micros: int = 0
    known_since: datetime
    parked: int = 0
    unavailable_seconds: float = 0.0
    unavailable_since: datetime | None = None


class Engagement(Row, kw_only=True):
    """Who has which role in which task: events of a role's work name the task and the role, not the agent. `chosen`:
    by the registry, which then also says when it ends."""

    project: str
    task: str
    role: str
    agent: str
    chosen: bool
    open: bool = True
    since: datetime
    parked: bool = False


class Request(Row, kw_only=True):
    """The registry was asked for an agent of that role, and all were full."""

    project: str
    task: str
    role: str
    waiting: bool = True


class Queue(Row, kw_only=True):
    """How many requests for a role wait."""

    project: str
    role: str
    waiting: int = 0


AGENTS = Table("agents", Agent, ("project", "agent"))
ENGAGEMENTS = Table("agent_engagements", Engagement, ("project", "task", "role"))
REQUESTS = Table("agent_requests", Request, ("project", "task", "role"))
QUEUES = Table("agent_queues", Queue, ("project", "role"))


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """What one event changes on the board."""
    task, stream = recorded.address.name, recorded.address.kind
    match event:
        case AgentRegistered(agent=name, role=role, capabilities=capabilities, max_concurrent=max_concurrent):
            agent = _agent(recorded, name, role, rows)
            agent.role, agent.capabilities, agent.max_concurrent = role, capabilities, max_concurrent
        case AgentChosen(task=chosen_for, role=role, agent=name):
            _waits(recorded, chosen_for, role, False, rows)
            _chosen(recorded, chosen_for, role, name, rows)
        case ChoiceQueued(task=queued, role=role):
            _waits(recorded, queued, role, True, rows)
        case ChoiceWithdrawn(task=queued, role=role):
            _waits(recorded, queued, role, False, rows)
        case AgentReleased(task=released_from, role=role, outcome=outcome):
            _closed(recorded, released_from, role, outcome, True, rows)
        case RoleAssigned(agent=name):
            _assigned(recorded, name, rows)
        case RoleDelivered(outcome=outcome):
            _seen(recorded, task, stream, rows)
            if stream != ORCHESTRATOR:
                _closed(recorded, task, stream, outcome, False, rows)
        case CompanyFinished(outcome=outcome):
            _seen(recorded, task, stream, rows)
            _closed(recorded, task, ORCHESTRATOR, outcome, False, rows)
        case ToolCalled(role=role) | ToolReturned(role=role) | CompletionGiven(role=role) | CompletionFailed(role=role):
            if agent := _seen(recorded, task, role, rows):
                _counted(agent, event)
        case CommandQuarantined(kind=role, name=parked):
            _parked(recorded, parked, role, True, rows)
        case ActorRetried(kind=role, name=parked) | ActorDropped(kind=role, name=parked):
            _parked(recorded, parked, role, False, rows)
        case _:
            _seen(recorded, task, stream, rows)


def _agent(recorded: Recorded, name: str, role: str, rows: Rows) -> Agent:
    project = recorded.address.project
    return rows.find(AGENTS, project, name) or rows.add(
        AGENTS, Agent(project=project, agent=name, role=role, known_since=recorded.at)
    )


def _waits(recorded: Recorded, task: str, role: str, waiting: bool, rows: Rows) -> None:
    """Whether a request waits for an agent from now on."""
    project = recorded.address.project
    request = rows.find(REQUESTS, project, task, role)
    if waiting == (request is not None and request.waiting):
        return
    if request is None:
        request = rows.add(REQUESTS, Request(project=project, task=task, role=role))
    request.waiting = waiting
    queue = rows.find(QUEUES, project, role) or rows.add(QUEUES, Queue(project=project, role=role))
    queue.waiting += 1 if waiting else -1


def _chosen(recorded: Recorded, task: str, role: str, name: str, rows: Rows) -> None:
    """The registry gave the role to this agent; somebody who still had it is rid of it without an outcome."""
    project = recorded.address.project
    had = rows.find(ENGAGEMENTS, project, task, role)
    agent = _agent(recorded, name, role, rows)
    if had is None:
        had = Engagement(project=project, task=task, role=role, agent=name, chosen=True, since=recorded.at)
        rows.add(ENGAGEMENTS, had)
    elif not had.open:
        had.since = recorded.at
    elif had.agent == name:
        had.chosen = True
        return
    else:
        had.since = recorded.at
        if before := rows.find(AGENTS, project, had.agent):
            before.in_flight -= 1
            _available(before, had, recorded.at)
    had.agent, had.chosen, had.open = name, True, True
    agent.in_flight += 1


def _assigned(recorded: Recorded, name: str, rows: Rows) -> None:
    """The agent took the role up. What the registry chose is engaged already, and stays closed once it is closed."""
    address = recorded.address
    agent = _agent(recorded, name, address.kind, rows)
    if rows.find(ENGAGEMENTS, address.project, address.name, address.kind) is None:
        engagement = Engagement(
            project=address.project,
            task=address.name,
            role=address.kind,
            agent=name,
            chosen=False,
            since=recorded.at,
        )
        rows.add(ENGAGEMENTS, engagement)
        agent.in_flight += 1


def _closed(recorded: Recorded, task: str, role: str, outcome: Delivery, by_registry: bool, rows: Rows) -> None:
    """An engagement the registry chose ends by the registry's word only, so that in_flight is what it counts too."""
    engagement = rows.find(ENGAGEMENTS, recorded.address.project, task, role)
    if engagement is None or not engagement.open or (engagement.chosen and not by_registry):
        return
    engagement.open = False
    if agent := rows.find(AGENTS, recorded.address.project, engagement.agent):
        agent.in_flight -= 1
        agent.done += outcome == "completed"
        agent.failed += outcome == "failed"
        agent.busy_seconds += _seconds(engagement.since, recorded.at)
        _available(agent, engagement, recorded.at)


def _seen(recorded: Recorded, task: str, role: str, rows: Rows) -> Agent | None:
    """Whoever has, or had, the role in the task."""
    engagement = rows.look(ENGAGEMENTS, recorded.address.project, task, role)
    return rows.find(AGENTS, recorded.address.project, engagement.agent) if engagement else None


def _counted(agent: Agent, event: ToolCalled | ToolReturned | CompletionGiven | CompletionFailed) -> None:
    match event:
        case ToolCalled():
            agent.tool_calls += 1
        case ToolReturned(status=status):
            agent.errors += status == "failed"
        case CompletionFailed():
            agent.errors += 1
        case CompletionGiven() as given:
            agent.completions += 1
            agent.tokens_in += given.tokens_in
            agent.tokens_out += given.tokens_out
            agent.priced += given.priced
            agent.cost_micros += given.cost_micros if given.priced else 0


def _parked(recorded: Recorded, task: str, role: str, parked: bool, rows: Rows) -> None:
    """The role's actor cannot go on, or can again. Of interest while somebody has the role."""
    project = recorded.address.project
    had = rows.look(ENGAGEMENTS, project, task, role)
    if had is None or not had.open or had.parked == parked:
        return
    engagement, agent = rows.find(ENGAGEMENTS, project, task, role), rows.find(AGENTS, project, had.agent)
    if engagement is None or agent is None:
        return
    if not parked:
        _available(agent, engagement, recorded.at)
    else:
        engagement.parked = True
        agent.parked += 1
        if agent.parked == 1:
            agent.unavailable_since = recorded.at


def _available(agent: Agent, engagement: Engagement, at: datetime) -> None:
    """As far as it depends on that engagement."""
    if not engagement.parked:
        return
    engagement.parked = False
    agent.parked -= 1
    if not agent.parked and agent.unavailable_since is not None:
        agent.unavailable_seconds += _seconds(agent.unavailable_since, at)
        agent.unavailable_since = None


def _seconds(since: datetime, until: datetime) -> float:
    """Clocks of two machines may disagree: never below 0."""
    return max(0.0, (until - since).total_seconds())


# 2: rows by key, each with the event that touched it last; queues, durations, errors, completions and uptime.
VIEW = View("agent_board", 2, "agent_board_schema", (AGENTS, ENGAGEMENTS, REQUESTS, QUEUES), TYPES, project)
