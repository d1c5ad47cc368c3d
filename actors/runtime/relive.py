"""One actor's history lived again by the code of this process: its states, what followed, and its commands decided
anew. Pure, but for what `Recovered` looks up."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from actors.runtime.follow import Followed, encoded, followed
from actors.runtime.kind import Cancel, Kind
from actors.runtime.later import heard
from actors.runtime.recovered import Recovered
from actors.runtime.turn import plain
from eventstore.histories import SettledCommand
from eventstore.store import NewTimer, Recorded
from protocol.codec import Malformed
from protocol.message import Command, Refusal
from protocol.runtime import CancelCommand
from protocol.subjects import Address

FIRST_EVENT = 1
WORDS_MAX = 300  # Characters of what an error says.
_FIRING = re.compile(r"timer:(.*):[0-9]+", re.DOTALL)
_PLACE = re.compile(r"([^/@]+)/([^/@]+)@([0-9]+)\.[0-9]+(?::[A-Za-z0-9_-]+)?")
_OUTCOME = ":outcome"  # Ends the id of what an effect came to.

Said = tuple[str, bytes]  # A message: tag and bytes.


class Unlivable(Exception):
    """The history cannot be lived; which event, what of it, what was expected, and what happens now."""

    def __init__(self, version: int, what: str, expected: str, now: str) -> None:
        super().__init__(f"event {version}: {what}: {now}")
        self.version, self.what, self.expected, self.now = version, what, expected, now


class Life:
    """An actor's state after each event. `last` is the last one as the code of today writes it; `timers` are set."""

    def __init__(self, kind: Kind[Any], address: Address) -> None:
        self._kind, self._address = kind, address
        self.state, self.version = kind.initial(address), 0
        self.timers: dict[str, NewTimer] = {}
        self.last: Said = ("", b"")
        self._fired: dict[str, str] = {}

    def live(self, recorded: Recorded) -> list[Followed]:
        """What follows from the next event. Unlivable."""
        doing = "read the event"
        try:
            event = self._kind.event_vocabulary.decode(recorded.body, recorded.type)
            self.last = encoded(event)
            doing = "evolve"
            self.state = self._kind.evolve(self.state, event)
            doing = "react"
            reactions = self._kind.react(self.state, event)
            wanted = list(
                followed(reactions, self._address, recorded.version, recorded.at, recorded.correlation)
            )  # fmt: skip
        except Exception as error:  # whatever a core raises on its history
            raise Unlivable(recorded.version, doing, recorded.type, words_of(error)) from error
        self.version = recorded.version
        self._firing(recorded)
        for what in wanted:
            match what:
                case NewTimer(key=key):
                    self.timers[key] = what
                case Cancel(key):
                    self.timers.pop(key, None)
                case _:
                    pass
        return wanted

    def _firing(self, recorded: Recorded) -> None:
        """A timer is over once an event names its firing as cause; one that is due later was set after that."""
        found = _FIRING.fullmatch(recorded.causation)
        if found is None or self._fired.get(found[1]) == recorded.causation:
            return
        self._fired[found[1]] = recorded.causation
        timer = self.timers.get(found[1])
        if timer is not None and timer.due <= recorded.at:
            del self.timers[found[1]]


@dataclass
class Redecided:
    """A command (by its id) and the events it led to, as the code of today writes them. `command`: tag and bytes."""

    kind: Kind[Any]
    address: Address
    first: Recorded
    state: Any
    command: Said | None = None
    recorded: list[Said] = field(default_factory=list[Said])

    @property
    def id(self) -> str:
        return self.first.causation

    @property
    def version(self) -> int:
        return self.first.version

    def find(self, kept: SettledCommand | None, recovered: Recovered, timers: Mapping[str, NewTimer]) -> None:
        """The command's bytes: from the inbox, from who sent it, or from the timer that had been set."""
        firing = _FIRING.fullmatch(self.id)
        if kept is not None:
            self.command = kept.type, kept.body
        elif firing is not None:
            timer = timers.get(firing[1])
            if timer is not None and timer.due <= self.first.at:
                self.command = timer.type, timer.body
        else:
            send = recovered.send(self.address.project, self.id)
            if send is not None and send.to == self.address:
                self.command = send.type, send.body


@dataclass(frozen=True, slots=True)
class Decision:
    """What the code of today makes of a command: the events it writes, or the code of its refusal, or what broke."""

    events: tuple[Said, ...] = ()
    refused: str = ""
    broke: str = ""

    def __str__(self) -> str:
        if self.refused:
            return f"refused: {self.refused}"
        return self.broke or _tags(self.events)


def redecided(turn: Redecided) -> tuple[str, str] | None:
    """What the command led to and what it would lead to; None when that is the same."""
    assert turn.command is not None, "only what was found can be decided"
    tag, body = turn.command
    expected = _tags(turn.recorded)
    decision = decided(turn.kind, turn.state, turn.id, lambda: _read(turn.kind, tag, body))
    if decision.refused or decision.broke:
        return expected, str(decision)
    if decision.events == tuple(turn.recorded):
        return None
    now = _tags(decision.events)
    if now != expected:
        return expected, now
    pairs = zip(decision.events, turn.recorded, strict=True)
    n = next(n for n, pair in enumerate(pairs) if pair[0] != pair[1])
    fields = _fields(turn.recorded[n], decision.events[n])
    return f"{expected} as recorded", f"event {turn.version + n} differs in {fields}"


def decided(kind: Kind[Any], state: Any, id_: str, read: Callable[[], Command]) -> Decision:
    """What that kind decides on that state; `read` gives the command of that id, or raises what it is refused for."""
    try:
        command = heard(kind, read(), id_)
        events = () if command is None else kind.decide(state, command)
        return Decision(tuple(encoded(event) for event in events))
    except Refusal as refusal:
        return Decision(refused=refusal.code)
    except Exception as error:  # noqa: BLE001 - whatever a core raises is what differs
        return Decision(broke=words_of(error))


def _read(kind: Kind[Any], tag: str, body: bytes) -> Command:
    if tag not in kind.decides:
        return msgspec.json.decode(body, type=CancelCommand)
    return kind.command_vocabulary.decode(body, tag)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an id was made: by the event `version` of `sender`. `effect` is the key, if it is that of an effect."""

    sender: Address
    version: int
    effect: str = ""


def place_of(project: str, id_: str, of_effect: bool = False) -> Place | None:
    """The place that an id names; None for one that came from outside or is a timer's."""
    key = id_ if of_effect else id_.removesuffix(_OUTCOME)
    found = _PLACE.fullmatch(key)
    if found is None:
        return None
    return Place(Address(project, found[1], found[2]), int(found[3]), key if of_effect or key != id_ else "")


def words_of(error: Exception) -> str:
    """An error in one line; of one that may quote content only its kind."""
    if isinstance(error, Malformed | Refusal):
        return plain(str(error))[:WORDS_MAX]
    return type(error).__name__


def _tags(said: Sequence[Said]) -> str:
    return ", ".join(tag for tag, _ in said) or "no event"


def _fields(one: Said, other: Said) -> str:
    """The names of the fields that differ: what is in them is content."""
    before, after = (msgspec.json.decode(each[1], type=dict[str, Any]) for each in (one, other))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(names) or "its bytes"
