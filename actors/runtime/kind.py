"""What an actor is: a value of four small functions and the messages they understand.

`decide(state, command)` answers with events, `()` for a repetition, or raises `Refusal`. `evolve(state, event)` is the
next state. `react(state, event)` sees the state after its event and says what follows; it runs once, for the commit of
the event, never on activation. The world is touched by performers only, outside the turn; they answer with a command.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

from actors.runtime.retry import USUAL, Retry
from actors.runtime.taps import SILENT, Tap
from protocol.codec import Vocabulary
from protocol.message import Command, Event, tag_of
from protocol.subjects import Address
from protocol.trace import TraceContext
from protocol.upcast import Upcast, leading_to

S = TypeVar("S")
Safety = Literal["idempotent", "repeatable", "once"]


@dataclass(frozen=True, slots=True)
class Send:
    """A command to another actor of the project: stored in this commit, delivered at least once, accepted once."""

    kind: str
    name: str
    command: Command


@dataclass(frozen=True, slots=True)
class Timer:
    """A command to this very actor in `after_s` seconds. The same key again replaces it."""

    key: str
    after_s: float
    command: Command


@dataclass(frozen=True, slots=True)
class Cancel:
    """Forget the timer with that key, if it has not fired."""

    key: str


@dataclass(frozen=True, slots=True)
class Effect:
    """Work in the world for the performer of that kind. Repeatable work may be paid twice after a crash.

    With a `name` it can be withdrawn. What has not ended `deadline_s` seconds after it was wanted is withdrawn by
    itself: a waiting one is not begun, a running one is cut.
    """

    kind: str
    work: msgspec.Struct
    safety: Safety
    name: str = ""
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class CancelEffect:
    """Withdraw this actor's effects with that name that were wanted before and have not ended. Their outcome, the
    performer's `give_up`, says that they were cancelled; or what they came to, if that was sooner."""

    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the asker of `ask` is told: it is stored in this commit and sent after it. An ask that is over, or that
    nobody waits for, takes none; the first answer counts."""

    ask: str
    body: msgspec.Struct


Reaction = Send | Timer | Cancel | Effect | CancelEffect | Answer


@dataclass(frozen=True)
class Kind(Generic[S]):
    """One kind of actor. `external` are the commands people and programs may send; all others only come from actors.

    `later`: commands that are answered by an `Answer`, and not when they are accepted. Each has a field `ask: str = ""`
    that the runtime fills with the command's id before `decide` sees it, whatever was sent there: who answers later
    keeps it in an event. `cancelled` makes of such an id what the core hears when the ask was withdrawn (None: nothing;
    the asker is told in any case, unless the core refuses that).

    `correlates`: everything this actor's commands cause is correlated by the actor's own name (a task). `retired`: how
    commands and events with retired tags are read; ValueError for one that leads to none of its messages.

    `state` is the type of its state where snapshots of it may be kept: what msgspec writes of it as JSON it must read
    back as an equal value. Raise `state_version` when `evolve` comes to another state from the same events.
    """

    name: str
    commands: tuple[type[Command], ...]
    events: tuple[type[Event], ...]
    initial: Callable[[Address], S]
    decide: Callable[[S, Any], tuple[Event, ...]]
    evolve: Callable[[S, Any], S]
    react: Callable[[S, Any], tuple[Reaction, ...]]
    external: tuple[type[Command], ...] = ()
    later: tuple[type[Command], ...] = ()
    cancelled: Callable[[str], Command] | None = None
    correlates: bool = False
    retired: tuple[Upcast, ...] = ()
    state: type[S] | None = None
    state_version: int = 1
    state_schema: str = field(init=False, default="")
    command_vocabulary: Vocabulary[Command] = field(init=False)
    event_vocabulary: Vocabulary[Event] = field(init=False)

    def __post_init__(self) -> None:
        for cls in self.later:
            if not any(f.name == "ask" and f.type is str and f.default == "" for f in msgspec.structs.fields(cls)):
                raise ValueError(f'{cls.__name__} is answered later and needs a field `ask: str = ""`')
        asked, stated = (self._leading_to(classes) for classes in (self.commands, self.events))
        # What leads to neither is given to both, and so refused.
        lost = tuple(upcast for upcast in self.retired if upcast not in asked and upcast not in stated)
        object.__setattr__(self, "command_vocabulary", Vocabulary(self.commands, (*asked, *lost)))
        object.__setattr__(self, "event_vocabulary", Vocabulary(self.events, (*stated, *lost)))
        if self.state is not None:
            # With the events: who does not know one of them must not get round it by way of a snapshot.
            described = (msgspec.json.schema(self.state), self.event_vocabulary.tags)
            digest = hashlib.sha256(msgspec.json.encode(described, order="deterministic")).hexdigest()
            object.__setattr__(self, "state_schema", f"{self.state_version}:{digest}")

    @property
    def decides(self) -> frozenset[str]:
        """Every command it can still decide, by tag: its own and the retired ones that lead to them. What is under way
        when new code takes over must be among them (`troupe upgrade check` says so beforehand)."""
        return self.command_vocabulary.tags

    def _leading_to(self, classes: Iterable[type[Command] | type[Event]]) -> tuple[Upcast, ...]:
        return leading_to({tag_of(cls) for cls in classes}, self.retired)


@dataclass(frozen=True, slots=True)
class EffectCall:
    """Who wants the work and under which key. `key` is the idempotency key; `attempt` counts from 1. What is emitted
    to the `tap` can be read while the effect runs (taps.py). `trace` is where in its trace this attempt is made."""

    address: Address
    key: str
    at: datetime
    correlation: str
    attempt: int
    tap: Tap = SILENT
    trace: TraceContext | None = None


@dataclass(frozen=True)
class Performer:
    """How one kind of effect is done. `give_up` words the outcome when every attempt failed: an effect always ends.

    At most `concurrent_max` run at once in a process; an attempt that takes longer than `timeout_s` is cut and has
    failed. `retry` says when the next one is made.

    Of work of the class `once` nobody may guess what an attempt did that did not come back: a human is asked, and the
    actor hears `unknown` meanwhile (None: nothing). `done` words the outcome when the human's answer is that it was
    done (None: `give_up` does, in those words); the text is the human's own.
    """

    kind: str
    work: type[msgspec.Struct]
    perform: Callable[[EffectCall, Any], Awaitable[Command]]
    give_up: Callable[[EffectCall, Any, str], Command]
    concurrent_max: int
    attempts_max: int
    timeout_s: float
    retry: Retry = USUAL
    unknown: Callable[[EffectCall, Any], Command] | None = None
    done: Callable[[EffectCall, Any, str], Command] | None = None


Kinds = Mapping[str, Kind[Any]]
Performers = Mapping[str, Performer]
