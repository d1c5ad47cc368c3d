"""Commands and events of the `registry` actor: which agents a project has, what each can do, how busy each is."""

from protocol.message import Command, Event
from protocol.role import Delivery
from protocol.upcast import Upcast


class RegisterAgent(Command, frozen=True, tag="registry.register.v1", omit_defaults=True):
    """Make an agent known, or change what is known of it. `max_concurrent` bounds its tasks at once."""

    agent: str
    role: str
    max_concurrent: int
    capabilities: tuple[str, ...] = ()


class ChooseAgent(Command, frozen=True, tag="registry.choose.v1"):
    """The orchestrator of `task` wants an agent for a role."""

    role: str
    task: str


class ReleaseAgent(Command, frozen=True, tag="registry.release.v1"):
    """The role's work in that task is over; its outcome counts for the agent's success rate."""

    role: str
    task: str
    outcome: Delivery


class AgentRegistered(Event, frozen=True, tag="registry.registered.v1", omit_defaults=True):
    agent: str
    role: str
    max_concurrent: int
    capabilities: tuple[str, ...] = ()


class AgentChosen(Event, frozen=True, tag="registry.chosen.v1"):
    """`score` is success_rate / (1 + load) before this assignment, load = in flight / max_concurrent."""

    role: str
    task: str
    agent: str
    score: float


class ChoiceQueued(Event, frozen=True, tag="registry.queued.v1"):
    """Every agent of the role is full; the request waits its turn."""

    role: str
    task: str


class ChoiceWithdrawn(Event, frozen=True, tag="registry.withdrawn.v1"):
    """The task ended while its request still waited."""

    role: str
    task: str


class AgentReleased(Event, frozen=True, tag="registry.released.v1"):
    role: str
    task: str
    agent: str
    outcome: Delivery


COMMANDS = (RegisterAgent, ChooseAgent, ReleaseAgent)
EVENTS = (AgentRegistered, AgentChosen, ChoiceQueued, ChoiceWithdrawn, AgentReleased)
RETIRED: tuple[Upcast, ...] = ()
