"""Commands and events of the `memory` actor: what a project remembers of earlier work."""

import msgspec

from protocol.message import Command, Event

RECALL_LIMIT_MAX = 50
TEXT_LENGTH_MAX = 2_000
SUBJECT_LENGTH_MAX = 4_096  # A path at its longest.
NAME_LENGTH_MAX = 128  # Of a role and of a task.


class Remember(Command, frozen=True, tag="memory.remember.v1"):
    """Keep one sentence about a subject (a repository's path, a topic) said by a role in a task."""

    subject: str
    role: str
    task: str
    text: str


class Recall(Command, frozen=True, tag="memory.recall.v1", omit_defaults=True):
    """What is known of `subject` from `role`'s earlier work. The answer goes to the asking role's actor of that
    task."""

    subject: str
    role: str
    task: str
    limit: int = 5


class Memory(msgspec.Struct, frozen=True):
    subject: str
    role: str
    task: str
    text: str


class Remembered(Event, frozen=True, tag="memory.remembered.v1"):
    memory: Memory


class Recalled(Event, frozen=True, tag="memory.recalled.v1", omit_defaults=True):
    subject: str
    role: str
    task: str
    memories: tuple[Memory, ...] = ()


COMMANDS = (Remember, Recall)
EVENTS = (Remembered, Recalled)
