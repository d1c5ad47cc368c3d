"""The port that looks for gaps beside the log, written as promises. Two adapters keep them; reached as `store.gaps`.

The chain proves the events. What stands beside them is checked here against them, in one unchanging view of the store
and without a lock; `find` names the first thing that is missing or too much:

- *causes*: every event of an actor that a command from outside or the outcome of an effect caused lies within what the
  inbox row of that accepted command says it led to; of every event that a send caused, the event that sent it is there,
  and earlier. What a timer led to is not looked up: its firing leaves no row.
- *commands*: every inbox row that speaks of events has them, with its id as their cause and in its actor's stream; an
  accepted command led to some; a silent, refused or waiting one to none.
- *waiting*: of every send on its way, every timer and every open effect, the event that wanted it is there.
- *cursors*: every partition's cursor is at the message that its witness names.

Inbox rows are never removed, and forgetting a person changes no row (it takes a key away), so nothing legitimate is
missing, but for one thing: an archive holds no inbox. Of a log that was restored from one, or that took in history from
elsewhere, say up to where (`restored_to`): up to there no row is asked for.

What cannot be seen from here: a deleted row of a command that led to nothing, a deleted send that was on its way, and a
cursor that was moved together with its witness.
"""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from eventstore.errors import BadInput
from eventstore.verifier import Broken

Wrong = Literal["cause", "sender", "events", "none", "some", "wanted", "witness"]

NOBODYS = ("runtime", "subject")  # Kinds of streams that the runtime and the store write: no actor decides there.
FIRING = "timer:"
OUTCOME = ":outcome"
# What an event that wants something names it by: "tools/t1@3.0", an effect with a name of its own "tools/t1@3.0:name".
# Then what the effect came to, or a word that this is not known.
PLACE = re.compile(r"([^/@]+)/([^/@]+)@([0-9]+)\.[0-9]+(?::[A-Za-z0-9_-]+)??(:outcome|:unknown\.[0-9]+)?")
CAUSE = re.compile(r"([^/@]+)/([^/@]+)@([0-9]+)(?:\..*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Examined:
    """How much was looked at, up to the position `last`, and the first thing that is wrong (None: nothing).
    `migration`: the last one of the log's schema ("": it has none)."""

    last: int = 0
    commands: int = 0
    waiting: int = 0
    partitions: int = 0
    migration: str = ""
    gap: Broken | None = None


class Gaps(Protocol):
    """A store under examination."""

    async def find(self, restored_to: int = 0) -> Examined:
        """Look at everything there is. Memory is bounded whatever its size. StoreUnavailable; BadInput for a position
        that the log does not have."""
        ...


def check_restored(restored_to: int, head: int) -> None:
    """BadInput for a position that the log does not have."""
    if not 0 <= restored_to <= head:
        raise BadInput(f"the log cannot have been restored to {restored_to}: its positions are 1 to {head}")


def gap(wrong: Wrong, position: int, project: str, where: str, what: str) -> Broken:
    """What is wrong, in words. `where` is the actor's kind and name, `what` the id or key (of a cursor: its number)."""
    actor = f"{project}/{where}"
    match wrong:
        case "cause":
            said = (
                f"the event of {actor} names the command {what} as its cause, and the inbox has no row of an accepted "
                "command that led to it"
            )
        case "sender":
            said = f"the event of {actor} names {what} as its cause, and the event that wanted that is not there"
        case "events":
            said = f"the command {what} to {actor} is said to have led to events from here on, and did not"
        case "none":
            said = f"the command {what} to {actor} was accepted, and its inbox row names no event"
        case "some":
            said = f"the command {what} to {actor} led to nothing, and its inbox row names events from here on"
        case "wanted":
            said = f"{what} waits for {actor}, and the event that wanted it is not there"
        case "witness":
            said = f"the cursor of partition {where} is at {position}, and its witness names another message: {what!r}"
            position = 0
    return Broken(position, said)
