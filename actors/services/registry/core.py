"""The registry of a project: agents, their load and their record. Chooses by success_rate / (1 + load). Pure.

A role nobody registered gets its standard agent on first demand, so that any project can start with nothing.
"""

from typing import assert_never

import msgspec

from protocol.message import Event, Refusal
from protocol.registry import (
    AgentChosen,
    AgentRegistered,
    AgentReleased,
    ChoiceQueued,
    ChoiceWithdrawn,
    ChooseAgent,
    RegisterAgent,
    ReleaseAgent,
)
from protocol.role import ROLES
from protocol.subjects import Address, BadSubject, check_token

# Tasks an agent takes at once; effects are what is really scarce, and they have their own limit.
CONCURRENT_DEFAULT = 256
CHOICES_MAX = 100  # Who waits longer than that is served at the next release: one command causes few events.
SCORE_DIGITS = 6  # Rounded, so that the event says the same on every machine.


class Agent(msgspec.Struct, frozen=True):
    agent: str
    role: str
    max_concurrent: int
    capabilities: tuple[str, ...] = ()
    tasks: frozenset[str] = frozenset()
    completed: int = 0
    failed: int = 0

    def score(self) -> float:
        ended = self.completed + self.failed
        success_rate = self.completed / ended if ended else 1.0
        return round(success_rate / (1 + len(self.tasks) / self.max_concurrent), SCORE_DIGITS)


class State(msgspec.Struct, frozen=True):
    """`queue` holds (role, task) pairs nobody had room for, oldest first."""

    agents: dict[str, Agent] = {}
    queue: tuple[tuple[str, str], ...] = ()

    def of_role(self, role: str) -> list[Agent]:
        return [agent for agent in self.agents.values() if agent.role == role]

    def holder(self, role: str, task: str) -> Agent | None:
        return next((agent for agent in self.of_role(role) if task in agent.tasks), None)


def initial(_: Address) -> State:
    return State()


Commands = RegisterAgent | ChooseAgent | ReleaseAgent
Events = AgentRegistered | AgentChosen | ChoiceQueued | ChoiceWithdrawn | AgentReleased


def decide(state: State, command: Commands) -> tuple[Event, ...]:
    match command:
        case RegisterAgent(agent=agent, role=role, max_concurrent=most, capabilities=capabilities):
            return _register(state, agent, role, most, capabilities)
        case ChooseAgent(role=role, task=task):
            return _choose(state, role, task)
        case ReleaseAgent(role=role, task=task, outcome=outcome):
            holder = state.holder(role, task)
            if holder is None:
                return (ChoiceWithdrawn(role, task),) if (role, task) in state.queue else ()
            released = AgentReleased(role, task, holder.agent, outcome)
            following = _next_of_queue(evolve(state, released), role)
            return (released, *following)
        case _:
            assert_never(command)


def _register(state: State, agent: str, role: str, most: int, capabilities: tuple[str, ...]) -> tuple[Event, ...]:
    try:
        check_token("agent", agent)
    except BadSubject as error:
        raise Refusal("bad-name", str(error)) from error
    if role not in ROLES:
        raise Refusal("unknown-role", f"there is no role {role!r}; the roles are {', '.join(ROLES)}")
    if most < 1:
        raise Refusal("bad-limit", f"agent {agent}: max_concurrent is {most}, it must be at least 1")
    known = state.agents.get(agent)
    if known is not None and known.role != role:
        raise Refusal("taken", f"agent {agent} is a {known.role}; register the {role} under another name")
    if known is not None and (known.max_concurrent, known.capabilities) == (most, capabilities):
        return ()
    registered = AgentRegistered(agent, role, most, capabilities)
    return (registered, *_next_of_queue(evolve(state, registered), role))


def _choose(state: State, role: str, task: str) -> tuple[Event, ...]:
    if state.holder(role, task) is not None or (role, task) in state.queue:
        return ()
    events: tuple[Events, ...] = ()
    if not state.of_role(role):
        events = (AgentRegistered(f"{role}-1", role, CONCURRENT_DEFAULT),)
        state = evolve(state, events[0])
    chosen = _best(state, role, task)
    return (*events, chosen if chosen is not None else ChoiceQueued(role, task))


def _best(state: State, role: str, task: str) -> AgentChosen | None:
    free = [agent for agent in state.of_role(role) if len(agent.tasks) < agent.max_concurrent]
    if not free:
        return None
    best = max(free, key=lambda agent: (agent.score(), agent.agent))
    return AgentChosen(role, task, best.agent, best.score())


def _next_of_queue(state: State, role: str) -> tuple[Events, ...]:
    """Those who wait, oldest first, as far as there is room now."""
    events: list[Events] = []
    for waiting in [task for queued, task in state.queue if queued == role][:CHOICES_MAX]:
        chosen = _best(state, role, waiting)
        if chosen is None:
            break
        events.append(chosen)
        state = evolve(state, chosen)
    return tuple(events)


def evolve(state: State, event: Events) -> State:
    match event:
        case AgentRegistered(agent=name, role=role, max_concurrent=most, capabilities=capabilities):
            known = state.agents.get(name, Agent(name, role, most))
            return _with(state, msgspec.structs.replace(known, max_concurrent=most, capabilities=capabilities))
        case AgentChosen(role=role, task=task, agent=name):
            agent = state.agents[name]
            queue = tuple(pair for pair in state.queue if pair != (role, task))
            return _with(State(state.agents, queue), msgspec.structs.replace(agent, tasks=agent.tasks | {task}))
        case ChoiceQueued(role=role, task=task):
            return State(state.agents, (*state.queue, (role, task)))
        case ChoiceWithdrawn(role=role, task=task):
            return State(state.agents, tuple(pair for pair in state.queue if pair != (role, task)))
        case AgentReleased(task=task, agent=name, outcome=outcome):
            agent = state.agents[name]
            counts = {outcome: getattr(agent, outcome) + 1}
            return _with(state, msgspec.structs.replace(agent, tasks=agent.tasks - {task}, **counts))
        case _:
            assert_never(event)


def _with(state: State, agent: Agent) -> State:
    return State({**state.agents, agent.agent: agent}, state.queue)
