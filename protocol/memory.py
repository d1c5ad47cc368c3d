"""Commands and events of the `memory` actor: what a project remembers of earlier work."""

from typing import Annotated

import msgspec

from protocol.message import Command, Event
from protocol.personal import personal
from protocol.upcast import Upcast

RECALL_LIMIT_MAX = 50
TEXT_LENGTH_MAX = 2_000
PERSONAL_TEXT_LENGTH_MAX = 1_500  # Sealed it is longer, and RECALL_LIMIT_MAX of them have to fit into one event.
SUBJECT_LENGTH_MAX = 4_096  # A path at its longest.
NAME_LENGTH_MAX = 128  # Of a role and of a task.
Text = Annotated[str, personal("person", length_max=PERSONAL_TEXT_LENGTH_MAX)]


class Remember(Command, frozen=True, tag="memory.remember.v1", omit_defaults=True):
    """Keep one sentence about a subject (a repository's path, a topic) said by a role in a task.

    `person` is the pseudonymous id of whom the sentence concerns; "": it is about nobody.
    """

    subject: str
    role: str
    task: str
    text: Text
    person: str = ""


class Recall(Command, frozen=True, tag="memory.recall.v1", omit_defaults=True):
    """What is known of `subject` from `role`'s earlier work. The answer goes to the asking role's actor of that
    task."""

    subject: str
    role: str
    task: str
    limit: int = 5


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    subject: str
    role: str
    task: str
    text: Text
    person: str = ""


class Remembered(Event, frozen=True, tag="memory.remembered.v1"):
    memory: Memory


class Recalled(Event, frozen=True, tag="memory.recalled.v1", omit_defaults=True):
    subject: str
    role: str
    task: str
    memories: tuple[Memory, ...] = ()


COMMANDS = (Remember, Recall)
EVENTS = (Remembered, Recalled)
RETIRED: tuple[Upcast, ...] = ()
