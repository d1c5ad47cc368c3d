"""What follows from memory's events: a recall is answered to the role that asked."""

from typing import assert_never

from actors.runtime.kind import Kind, Reaction, Send
from actors.services.memory.core import State, decide, evolve, initial
from protocol import memory
from protocol.role import RecordRecall


def react(_: State, event: memory.Remembered | memory.Recalled) -> tuple[Reaction, ...]:
    match event:
        case memory.Recalled(role=role, task=task, memories=memories):
            return (Send(role, task, RecordRecall(tuple(m.text for m in memories))),)
        case memory.Remembered():
            return ()
        case _:
            assert_never(event)


KIND = Kind(
    name="memory",
    commands=memory.COMMANDS,
    events=memory.EVENTS,
    retired=memory.RETIRED,
    state=State,
    initial=initial,
    decide=decide,
    evolve=evolve,
    react=react,
    external=(memory.Remember,),
)
