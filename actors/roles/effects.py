"""What follows from a role's events, and the role itself as a value: the generic core with one playbook."""

from functools import partial
from typing import assert_never

from actors.roles.core import Events, State, decide, evolve, initial
from actors.roles.playbook import Playbook
from actors.runtime.kind import Kind, Reaction, Send
from protocol import role
from protocol.memory import Recall, Remember
from protocol.orchestrator import RecordDelivery
from protocol.router import Complete, ResultAdded, TextAdded
from protocol.tools import RunTool

MEMORY = "main"  # One memory a project.
RECALL_LIMIT = 3


def react(playbook: Playbook, state: State, event: Events) -> tuple[Reaction, ...]:
    label = f"{playbook.role}@{playbook.version}"
    match event:
        case role.RoleAssigned():
            return (Send("memory", MEMORY, Recall(subject(state), state.role, state.task, RECALL_LIMIT)),)
        case role.RoleBriefed(memories=memories):
            question = Complete(state.role, state.turn, (TextAdded(brief(playbook, state, memories)),), label)
            return (Send("router", state.task, question),)
        case role.ToolWanted(request=wanted):
            return (_call(playbook, state, wanted),)
        case role.ToolAnswered():
            return ()
        case role.QuestionAsked(turn=turn):
            adds = tuple(
                ResultAdded(a.request, a.tool, a.call, a.result, "" if a.result else a.summary) for a in state.asking
            )
            return (Send("router", state.task, Complete(state.role, turn, adds, label)),)
        case role.RoleDelivered(outcome=outcome, summary=summary):
            delivery = RecordDelivery(state.role, outcome, summary, event.facts, len(event.files))
            memory = Remember(subject(state), state.role, state.task, summary or outcome)
            return (Send("orchestrator", state.task, delivery), Send("memory", MEMORY, memory))
        case _:
            assert_never(event)


def _call(playbook: Playbook, state: State, wanted: role.ToolRequest) -> Send:
    """The tool call, or its refusal: whatever a model asks for, a role calls the tools of its playbook only.

    What the playbook says of the arguments stands, whatever the model says: release rules are not the model's choice.
    """
    step = next((step for step in playbook.steps if step.tool == wanted.tool), None)
    if step is None:
        own = ", ".join(step.tool for step in playbook.steps)
        refusal = f"{state.role} has no tool {wanted.tool!r}, so nothing was called; its tools are {own}"
        return Send(state.role, state.task, role.RecordToolResult(wanted.id, wanted.tool, "", "failed", refusal))
    args = {**wanted.args, **step.args}
    return Send("tools", state.task, RunTool(state.role, wanted.id, wanted.tool, state.title, state.repo, args))


def subject(state: State) -> str:
    """What this task's memories are about."""
    return state.repo or state.title


def brief(playbook: Playbook, state: State, memories: tuple[str, ...]) -> str:
    """The first thing the model is told: the task, how to go about it, and what is remembered."""
    lines = [f"Task: {state.title}", f"Repository: {state.repo or 'none named'}", f"Your part: {state.role}"]
    order = ", then ".join(step.tool for step in playbook.steps)
    lines += [
        "",
        f"Call each of your tools once: {order}. Leave out arguments that you are not asked for; they are filled in.",
        "A tool that could not do its work is not called again: say so in the report.",
        f"When all have answered, give your report and nothing else: Markdown, titled `# {playbook.report_title}`.",
    ]
    if memories:
        lines += ["", "What you delivered in earlier tasks on this subject, newest first:"]
        lines += [f"- {memory}" for memory in memories]
    return "\n".join(lines)


def make_role(playbook: Playbook) -> Kind[State]:
    """One of the twelve roles that differ only in their playbook."""
    return Kind(
        name=playbook.role,
        commands=role.COMMANDS,
        events=role.EVENTS,
        retired=role.RETIRED,
        state=State,
        initial=initial,
        decide=decide,
        evolve=evolve,
        react=partial(react, playbook),
    )
