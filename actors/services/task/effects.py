"""What follows from a task's events: a submitted task goes to the orchestrator."""

from typing import assert_never

from actors.runtime.kind import Kind, Reaction, Send
from actors.services.task.core import State, decide, evolve, initial
from protocol import task
from protocol.role import AssignRole

ORCHESTRATOR_AGENT = "orchestrator-1"  # The first agent of a task is not chosen by a registry: it asks the registry.


def react(state: State, event: task.TaskSubmitted | task.TaskConcluded) -> tuple[Reaction, ...]:
    match event:
        case task.TaskSubmitted(title=title, repo=repo):
            return (Send("orchestrator", state.task, AssignRole(title, ORCHESTRATOR_AGENT, repo)),)
        case task.TaskConcluded():
            return ()
        case _:
            assert_never(event)


KIND = Kind(
    name="task",
    commands=task.COMMANDS,
    events=task.EVENTS,
    retired=task.RETIRED,
    state=State,
    initial=initial,
    decide=decide,
    evolve=evolve,
    react=react,
    external=(task.SubmitTask,),
    correlates=True,
)
