"""What led to what: the events of one correlation as a tree of steps. Pure.

A step is one command and the events its actor answered with: an event's `causation` is the id of that command. The id
says where the command came from (follow.py, and the store's own statements for outcomes and firings):

    tools/t1@3.0                 a send, or an effect, that the event tools/t1@3 wanted
    tools/t1@3.0:outcome         what that effect came to (with a name of its own: tools/t1@3.0:name:outcome)
    tools/t1@3.0:unknown.1       a human is asked what became of it
    timer:late:7                 a timer of the same actor; who set it has to be looked up
    anything else                a command from outside: the root of a tree

So every step but a root hangs on an event. One whose event is not among those given, or is a later one, hangs on none:
it is told apart, with the reason, and never left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from eventstore.store import Recorded
from protocol.subjects import Address

Origin = Literal["outside", "send", "outcome", "doubt", "timer"]

FIRING = re.compile(r"timer:(.*):[0-9]+", re.DOTALL)
_PLACE = re.compile(r"(?P<place>(?P<event>[^/@]+/[^/@]+@[0-9]+)\.[0-9]+)(?::(?P<rest>.*))?", re.DOTALL)
_DOUBT = re.compile(r"(?:.*:)?unknown\.[0-9]+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a command came from: the reference of the event that wanted it ("": none, or it has to be looked up)."""

    origin: Origin
    event: str = ""


@dataclass(slots=True, eq=False)
class Step:
    """A command to an actor and the events it led to, in order. `parent` and `cause` are the step and the event it
    hangs on; `lost` says why it hangs on none although it should."""

    number: int
    command: str
    address: Address
    source: Source
    events: list[Recorded] = field(default_factory=list[Recorded])
    parent: "Step | None" = None
    cause: Recorded | None = None
    children: list["Step"] = field(default_factory=list["Step"])
    lost: str = ""

    @property
    def first(self) -> Recorded:
        return self.events[0]

    @property
    def took_s(self) -> float:
        """Seconds since what it hangs on, by the events' own times; clocks of two machines may disagree: never below
        0."""
        return 0.0 if self.cause is None else max(0.0, (self.first.at - self.cause.at).total_seconds())


def source_of(causation: str) -> Source:
    """Where the command of that id came from."""
    if FIRING.fullmatch(causation):
        return Source("timer")
    found = _PLACE.fullmatch(causation)
    if found is None:
        return Source("outside")
    rest = found["rest"] or ""
    if _DOUBT.fullmatch(rest):
        return Source("doubt", found["event"])
    return Source("outcome" if rest == "outcome" or rest.endswith(":outcome") else "send", found["event"])


def lineage(events: Iterable[Recorded], timers: Mapping[tuple[Address, str], str] | None = None) -> list[Step]:
    """The steps of one project's events (which come in the order of the log), in that order, each hung on what it came
    from. `timers` has, by actor and id of a firing, the reference of the event that had set the timer."""
    steps: dict[tuple[Address, str], Step] = {}
    held: dict[str, tuple[Step, Recorded]] = {}
    for recorded in events:
        key = recorded.address, recorded.causation
        step = steps.get(key)
        if step is None:
            step = steps[key] = Step(
                len(steps) + 1, recorded.causation, recorded.address, source_of(recorded.causation)
            )
            _hang(step, recorded, held, (timers or {}).get(key, ""))
        step.events.append(recorded)
        held[recorded.reference] = step, recorded
    return list(steps.values())


def _hang(step: Step, first: Recorded, held: Mapping[str, tuple[Step, Recorded]], setter: str) -> None:
    """Only earlier events are `held`, so nothing can hang on itself, whatever a causation says."""
    if step.source.origin == "outside":
        return
    event = step.source.event or setter
    found = held.get(event)
    if found is not None:
        step.parent, step.cause = found
        step.parent.children.append(step)
    elif event:
        step.lost = f"{event}, which it came from, is no earlier event of this correlation"
    else:
        step.lost = f"who set the timer of {first.causation} is not known"


def below(steps: Iterable[Step]) -> Iterator[Step]:
    """These steps and all that hangs on them, each behind what it hangs on. However deep, without recursion."""
    waiting = list(steps)[::-1]
    while waiting:
        step = waiting.pop()
        yield step
        waiting.extend(reversed(step.children))
