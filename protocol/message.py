"""The two kinds of message an actor knows: commands ask, events state. Tags are frozen for ever once released."""

from typing import Any

import msgspec


class Command(msgspec.Struct, frozen=True, tag_field="type"):
    """Something somebody wants. Subclasses name their tag: `class SubmitTask(Command, tag="task.submit.v1")`."""


class Event(msgspec.Struct, frozen=True, tag_field="type"):
    """Something that happened, in the past tense: `class TaskSubmitted(Event, tag="task.submitted.v1")`."""


class Refusal(Exception):
    """What `decide` raises when a command makes no sense now. The asker gets both fields; nothing is written but the
    refusal.

    `code` is a stable word for programs ("already-submitted"); `message` says what happened, to what, and what to do
    next.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def tag_of(message: type[msgspec.Struct] | msgspec.Struct) -> str:
    """The wire tag of a message or message class ("task.submit.v1")."""
    struct = message if isinstance(message, type) else type(message)
    tag: Any = struct.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{struct.__name__} has no wire tag; declare it with tag='<kind>.<name>.v<N>'")
    return tag
