"""Commands and events of the orchestrator beyond those of every role: it plans, assigns and follows."""

import msgspec

from protocol.message import Command, Event
from protocol.role import Delivery
from protocol.tools import Fact
from protocol.upcast import Upcast


class PlannedRole(msgspec.Struct, frozen=True):
    """One line of the plan: a role and the roles whose deliveries it waits for."""

    role: str
    needs: tuple[str, ...]


class RecordAssignment(Command, frozen=True, tag="orchestrator.record_assignment.v1"):
    """The registry's answer: this agent takes the role."""

    role: str
    agent: str


class RecordDelivery(Command, frozen=True, tag="orchestrator.record_delivery.v1", omit_defaults=True):
    """A role's word that it is done."""

    role: str
    outcome: Delivery
    summary: str
    facts: dict[str, Fact] = {}
    files: int = 0


class RecordOverdue(Command, frozen=True, tag="orchestrator.record_overdue.v1"):
    """The role's time is up (a timer's word)."""

    role: str


class PlanMade(Event, frozen=True, tag="orchestrator.plan_made.v1", omit_defaults=True):
    title: str
    roles: tuple[PlannedRole, ...]
    repo: str = ""


class RoleRequested(Event, frozen=True, tag="orchestrator.role_requested.v1"):
    """All the role waits for is there; the registry is asked for an agent."""

    role: str


class RoleStarted(Event, frozen=True, tag="orchestrator.role_started.v1"):
    role: str
    agent: str


class DeliveryRecorded(Event, frozen=True, tag="orchestrator.delivery_recorded.v1", omit_defaults=True):
    role: str
    agent: str
    outcome: Delivery
    summary: str
    files: int = 0


class CompanyFinished(Event, frozen=True, tag="orchestrator.company_finished.v1", omit_defaults=True):
    outcome: Delivery
    verdict: str = ""
    summary: str = ""


COMMANDS = (RecordAssignment, RecordDelivery, RecordOverdue)
EVENTS = (PlanMade, RoleRequested, RoleStarted, DeliveryRecorded, CompanyFinished)
RETIRED: tuple[Upcast, ...] = ()
