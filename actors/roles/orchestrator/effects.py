"""What follows from the orchestrator's events, and the orchestrator as a value."""

from functools import partial
from typing import assert_never

from actors.roles import effects as role_effects
from actors.roles.orchestrator.core import SELF, Events, State, decide, evolve, initial
from actors.roles.playbook import Playbook
from actors.runtime.kind import Cancel, Kind, Reaction, Send, Timer
from protocol import orchestrator, role
from protocol.orchestrator import PlannedRole
from protocol.registry import ChooseAgent, ReleaseAgent
from protocol.task import ConcludeTask

REGISTRY = "main"  # One registry a project.
ROLE_S_MAX = 900.0  # How long a role may take before the others go on without it.


def react(playbook: Playbook, state: State, event: Events) -> tuple[Reaction, ...]:
    task = state.own.task
    match event:
        case role.RoleAssigned():
            own = role_effects.react(playbook, state.own, event)
            # Its own part has a bound like everybody's: a task must end even if the clone never comes back.
            overdue = Timer(f"overdue-{SELF}", ROLE_S_MAX, orchestrator.RecordOverdue(SELF))
            return (*own, Send("registry", REGISTRY, ChooseAgent(SELF, task)), overdue)
        case orchestrator.PlanMade():
            return ()
        case orchestrator.RoleRequested(role=wanted):
            return (Send("registry", REGISTRY, ChooseAgent(wanted, task)),)
        case orchestrator.RoleStarted(role=started, agent=agent):
            return (
                Send(started, task, role.AssignRole(state.own.title, agent, state.own.repo)),
                Timer(f"overdue-{started}", ROLE_S_MAX, orchestrator.RecordOverdue(started)),
            )
        case orchestrator.DeliveryRecorded(role=done, outcome=outcome):
            if done == SELF:
                return (Cancel(f"overdue-{SELF}"),)  # Its own agent works on until the company has finished.
            return (Cancel(f"overdue-{done}"), Send("registry", REGISTRY, ReleaseAgent(done, task, outcome)))
        case orchestrator.CompanyFinished(outcome=outcome, verdict=verdict, summary=summary):
            return (
                Send("task", task, ConcludeTask(outcome, verdict, summary)),
                Send("registry", REGISTRY, ReleaseAgent(SELF, task, outcome)),
            )
        case role.RoleBriefed() | role.ToolWanted() | role.ToolAnswered() | role.QuestionAsked() | role.RoleDelivered():
            return role_effects.react(playbook, state.own, event)
        case _:
            assert_never(event)


def make_orchestrator(playbook: Playbook, plan: tuple[PlannedRole, ...]) -> Kind[State]:
    """`plan` names every other role with the roles whose deliveries it waits for."""
    return Kind(
        name=playbook.role,
        commands=(*role.COMMANDS, *orchestrator.COMMANDS),
        events=(*role.EVENTS, *orchestrator.EVENTS),
        retired=(*role.RETIRED, *orchestrator.RETIRED),
        state=State,
        initial=initial,
        decide=partial(decide, plan),
        evolve=evolve,
        react=partial(react, playbook),
    )
