"""What a project remembers: sentences about subjects, by role, the newest MEMORIES_MAX of them. Pure."""

from typing import assert_never

import msgspec

from protocol.memory import (
    NAME_LENGTH_MAX,
    RECALL_LIMIT_MAX,
    SUBJECT_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    Memory,
    Recall,
    Recalled,
    Remember,
    Remembered,
)
from protocol.message import Event, Refusal
from protocol.personal import is_sealed
from protocol.subjects import Address

MEMORIES_MAX = 2_000  # What is older is still in the log; a recall reads only what is kept here.


class State(msgspec.Struct, frozen=True):
    """Oldest first."""

    memories: tuple[Memory, ...] = ()


def initial(_: Address) -> State:
    return State()


def decide(state: State, command: Remember | Recall) -> tuple[Event, ...]:
    match command:
        case Remember(subject=subject, role=role, task=task, text=text, person=person):
            if not subject or not text:
                raise Refusal("empty", "a memory needs a subject and a text")
            if len(subject) > SUBJECT_LENGTH_MAX or max(len(role), len(task)) > NAME_LENGTH_MAX:
                raise Refusal(
                    "too-long",
                    f"a memory's subject has at most {SUBJECT_LENGTH_MAX} characters, "
                    f"its role and its task at most {NAME_LENGTH_MAX}",
                )
            # Sealed text was measured before it was sealed, and cut it could never be opened.
            memory = Memory(subject, role, task, text if is_sealed(text) else text[:TEXT_LENGTH_MAX], person)
            return () if memory in state.memories else (Remembered(memory),)
        case Recall(subject=subject, role=role, task=task, limit=limit):
            if not 1 <= limit <= RECALL_LIMIT_MAX:
                raise Refusal("bad-limit", f"a recall returns 1 to {RECALL_LIMIT_MAX} memories, asked for {limit}")
            # A task must not be told its own words as if they were earlier knowledge.
            found = [m for m in state.memories if (m.subject, m.role) == (subject, role) and m.task != task]
            return (Recalled(subject, role, task, tuple(reversed(found[-limit:]))),)
        case _:
            assert_never(command)


def evolve(state: State, event: Remembered | Recalled) -> State:
    match event:
        case Remembered(memory=memory):
            return State((*state.memories, memory)[-MEMORIES_MAX:])
        case Recalled():
            return state
        case _:
            assert_never(event)
