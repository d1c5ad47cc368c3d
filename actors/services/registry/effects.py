"""What follows from the registry's events: the orchestrator of the task hears who was chosen."""

from typing import assert_never

from actors.runtime.kind import Kind, Reaction, Send
from actors.services.registry.core import Events, State, decide, evolve, initial
from protocol import registry
from protocol.orchestrator import RecordAssignment


def react(_: State, event: Events) -> tuple[Reaction, ...]:
    match event:
        case registry.AgentChosen(role=role, task=task, agent=agent):
            return (Send("orchestrator", task, RecordAssignment(role, agent)),)
        case (
            registry.AgentRegistered() | registry.ChoiceQueued() | registry.ChoiceWithdrawn() | registry.AgentReleased()
        ):
            return ()
        case _:
            assert_never(event)


KIND = Kind(
    name="registry",
    commands=registry.COMMANDS,
    events=registry.EVENTS,
    retired=registry.RETIRED,
    state=State,
    initial=initial,
    decide=decide,
    evolve=evolve,
    react=react,
    external=(registry.RegisterAgent,),
)
