"""The orchestrator of one task: its own part like any role's, then plan, assign, follow, conclude. Pure.

It asks the registry for an agent as soon as all a role waits for is delivered; it never waits for a role longer than
its
timer says; a role that failed does not stop the others, which say what they lack. Each role starts once.
"""

from typing import assert_never

import msgspec

from actors.roles import core as role_core
from protocol.message import Event
from protocol.orchestrator import (
    CompanyFinished,
    DeliveryRecorded,
    PlanMade,
    PlannedRole,
    RecordAssignment,
    RecordDelivery,
    RecordOverdue,
    RoleRequested,
    RoleStarted,
)
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
    ToolWanted,
)
from protocol.subjects import Address

SELF = "orchestrator"
JUDGE = "decision-maker"  # Whose delivery carries the verdict.
OVERDUE = "no delivery within the time a role has"
VERDICT_FACT = "verdict.decide.verdict"

Commands = role_core.Commands | RecordAssignment | RecordDelivery | RecordOverdue
PlanEvents = PlanMade | RoleRequested | RoleStarted | DeliveryRecorded | CompanyFinished
Events = role_core.Events | PlanEvents


class State(msgspec.Struct, frozen=True):
    """`own` is its part as a role; the rest is the plan: who waits for whom, who was asked for, works, has
    delivered."""

    own: role_core.State
    plan: tuple[PlannedRole, ...] = ()
    requested: frozenset[str] = frozenset()
    agents: dict[str, str] = {}
    delivered: dict[str, str] = {}
    finished: bool = False


def initial(address: Address) -> State:
    return State(role_core.initial(address))


def decide(plan: tuple[PlannedRole, ...], state: State, command: Commands) -> tuple[Event, ...]:
    match command:
        case AssignRole() | RecordRecall() | RecordCompletion() | RecordToolResult():
            return role_core.decide(state.own, command)
        case RecordAssignment(role=role, agent=agent):
            known = role in state.requested and role not in state.agents
            return (RoleStarted(role, agent),) if known else ()
        case RecordDelivery(role=role) if role == SELF:
            return _begin(plan, state, command)
        case RecordDelivery(role=role):
            open_ = role in state.agents and role not in state.delivered
            return _deliver(state, command) if open_ else ()
        case RecordOverdue(role=role) if role == SELF:
            return _begin(plan, state, RecordDelivery(SELF, "failed", OVERDUE))
        case RecordOverdue(role=role):
            if role not in state.agents or role in state.delivered:
                return ()
            return _deliver(state, RecordDelivery(role, "failed", OVERDUE))
        case _:
            assert_never(command)


def _begin(plan: tuple[PlannedRole, ...], state: State, own: RecordDelivery) -> tuple[Event, ...]:
    """The orchestrator's own part is done: the plan stands, and those who wait for nobody else begin."""
    if state.plan:
        return ()
    made = PlanMade(state.own.title, plan, state.own.repo)
    return (made, *_deliver(evolve(state, made), own))


def _deliver(state: State, delivery: RecordDelivery) -> tuple[Event, ...]:
    role = delivery.role
    agent = state.own.agent if role == SELF else state.agents[role]
    recorded = DeliveryRecorded(role, agent, delivery.outcome, delivery.summary, delivery.files)
    after = evolve(state, recorded)
    ready = [
        planned.role
        for planned in after.plan
        if planned.role not in after.requested
        and planned.role not in after.delivered
        and all(need in after.delivered for need in planned.needs)
    ]
    events: tuple[Event, ...] = (recorded, *(RoleRequested(name) for name in ready))
    if all(planned.role in after.delivered for planned in after.plan):
        events = (*events, _conclusion(after, delivery))
    return events


def _conclusion(state: State, last: RecordDelivery) -> CompanyFinished:
    """Completed when there is a verdict; which roles failed is said either way."""
    failed = sorted(role for role, outcome in state.delivered.items() if outcome == "failed")
    verdict = str(last.facts.get(VERDICT_FACT, "")) if last.role == JUDGE else ""
    summary = last.summary if last.role == JUDGE else "the decision-maker did not deliver last; there is no verdict"
    if failed:
        summary += f" (failed: {', '.join(failed)})"
    return CompanyFinished("completed" if verdict else "failed", verdict, summary)


def evolve(state: State, event: Events) -> State:
    replace = msgspec.structs.replace
    match event:
        case PlanMade(roles=roles):
            return replace(state, plan=roles)
        case RoleRequested(role=role):
            return replace(state, requested=state.requested | {role})
        case RoleStarted(role=role, agent=agent):
            return replace(state, agents={**state.agents, role: agent})
        case DeliveryRecorded(role=role, outcome=outcome):
            return replace(state, delivered={**state.delivered, role: outcome})
        case CompanyFinished():
            return replace(state, finished=True)
        case RoleAssigned() | RoleBriefed() | ToolWanted() | ToolAnswered() | QuestionAsked() | RoleDelivered():
            return replace(state, own=role_core.evolve(state.own, event))
        case _:
            assert_never(event)
