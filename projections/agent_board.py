"""The agent board: who works for a project, how busy each agent is, and how its work turned out.

An agent is busy from the registry's choice to its release, so that in_flight and load are the registry's own figures.
An agent that took a role up without the registry (the orchestrator's) is busy until the role is delivered, the
orchestrator's until the company has finished.
"""

from collections.abc import Iterator

from eventstore.store import Recorded
from projections.statement import Statement
from protocol.message import Event
from protocol.orchestrator import CompanyFinished, DeliveryRecorded, PlanMade, RoleRequested, RoleStarted
from protocol.registry import AgentChosen, AgentRegistered, AgentReleased
from protocol.retired import vocabulary_of
from protocol.role import QuestionAsked, RoleAssigned, RoleBriefed, RoleDelivered, ToolAnswered, ToolWanted
from protocol.tools import ToolCalled

NAME = "agent_board"
VERSION = 1
SCHEMA = "agent_board_schema"
ORCHESTRATOR = "orchestrator"
TYPES: tuple[type[Event], ...] = (
    AgentRegistered,
    AgentChosen,
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
)
_VOCABULARY = vocabulary_of(TYPES)


def project(recorded: Recorded) -> Iterator[Statement]:
    """What one event changes on the board. Events of types outside TYPES are of no interest here."""
    if recorded.type not in _VOCABULARY:
        return
    task, stream = recorded.address.name, recorded.address.kind
    match _VOCABULARY.decode(recorded.body, recorded.type):
        case AgentRegistered(agent=agent, role=role, capabilities=capabilities, max_concurrent=max_concurrent):
            yield _on("registered", recorded, agent, role, list(capabilities), max_concurrent)
        case AgentChosen(task=chosen_for, role=role, agent=agent):
            yield _on("chosen", recorded, chosen_for, role, agent)
        case AgentReleased(task=released_from, role=role, outcome=outcome):
            yield _on("closed", recorded, released_from, role, outcome, True)
        case RoleAssigned(agent=agent):
            yield _on("assigned", recorded, task, stream, agent)
        case RoleDelivered(outcome=outcome):
            yield _on("seen", recorded, task, stream, 0)
            if stream != ORCHESTRATOR:
                yield _on("closed", recorded, task, stream, outcome, False)
        case CompanyFinished(outcome=outcome):
            yield _on("seen", recorded, task, stream, 0)
            yield _on("closed", recorded, task, ORCHESTRATOR, outcome, False)
        case ToolCalled(role=role):
            yield _on("seen", recorded, task, role, 1)
        case _:
            yield _on("seen", recorded, task, stream, 0)


def _on(statement: str, recorded: Recorded, *rest: object) -> Statement:
    """A statement of this view: first the project, the wall between tenants; last when and where it was seen."""
    return Statement(f"{NAME}_{statement}", (recorded.address.project, *rest, recorded.at, recorded.position))
