"""The router of one task: one session a role, one question at a time, each answered once. Pure.

State keeps only where each conversation ends (a blob); what was said is in the blobs, what happened in the events.
"""

from typing import assert_never

import msgspec

from protocol.message import Event, Refusal
from protocol.router import Complete, CompletionAsked, CompletionFailed, CompletionGiven, RecordAnswer
from protocol.subjects import Address

TURNS_MAX = 64  # A session that asks more often is running in a circle.


class Session(msgspec.Struct, frozen=True):
    """`asked` is the last turn asked, `answered` the last one answered, `conversation` the blob where it ends."""

    asked: int = 0
    answered: int = 0
    conversation: str = ""


class State(msgspec.Struct, frozen=True):
    task: str
    sessions: dict[str, Session] = {}


def initial(address: Address) -> State:
    return State(address.name)


Events = CompletionAsked | CompletionGiven | CompletionFailed


def decide(state: State, command: Complete | RecordAnswer) -> tuple[Event, ...]:
    session = state.sessions.get(command.role, Session())
    match command:
        case Complete(role=role, turn=turn, adds=adds, playbook=playbook):
            if turn <= session.asked:
                return ()
            if turn > TURNS_MAX:
                raise Refusal(
                    "too-many-turns", f"{role} has asked {TURNS_MAX} times in task {state.task}; it may not ask more"
                )
            return (CompletionAsked(role, turn, adds, playbook),)
        case RecordAnswer(role=role, turn=turn):
            if turn != session.asked or turn == session.answered:
                return ()
            if command.error:
                asked = (command.provider, command.model, command.seconds)
                return (CompletionFailed(role, turn, command.error, *asked),)
            return (
                CompletionGiven(
                    role, turn, command.conversation, command.tool_calls, command.text, command.text_bytes,
                    command.provider, command.model, command.tokens_in, command.tokens_out, command.label,
                    command.cost_micros, command.priced, command.seconds,
                ),
            )  # fmt: skip
        case _:
            assert_never(command)


def evolve(state: State, event: Events) -> State:
    session = state.sessions.get(event.role, Session())
    match event:
        case CompletionAsked(turn=turn):
            session = Session(turn, session.answered, session.conversation)
        case CompletionGiven(turn=turn, conversation=conversation):
            session = Session(session.asked, turn, conversation)
        case CompletionFailed(turn=turn):
            session = Session(session.asked, turn, session.conversation)
        case _:
            assert_never(event)
    return State(state.task, {**state.sessions, event.role: session})
