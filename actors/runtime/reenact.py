"""Says what was under way in a fork: every actor's history is folded and `react` is run again, as its turns once did.

What comes of it has the ids and bodies of the original; the store then leaves out what the log shows to be settled (an
event or the inbox names it). What the log cannot show:

- A send that was accepted silently, or refused, left no trace. It is delivered again, and the receiver is silent again.
- A timer that fired silently fires again. One that had fired, and whose firing had not been accepted yet, is a timer
  that is due; if its actor had set or cancelled it meanwhile, only that counts.
- An effect that was being performed is open. One that had come to an outcome which nobody had heard yet is open too,
  and the outcome is recorded.
- The clock that a turn saw is not in the log: the time of the event's command stands for it, milliseconds earlier.

One actor at a time, a page of its history at a time: memory is bounded by the biggest state.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from actors.runtime.follow import Followed, followed
from actors.runtime.kind import Cancel, Kind, Kinds
from eventstore.forking import Draft, ForkedStream, Wanted
from eventstore.store import Answer, NewEffect, NewSend, NewTimer, Recorded
from protocol.subjects import Address

PAGE_EVENTS = 200  # An event has up to half a MiB; a page has to fit into memory.
NOBODYS = frozenset(("runtime", "subject"))  # Kinds of streams that the runtime and the store write: no actor reacts.
_FIRING = re.compile(r"timer:(.*):[0-9]+", re.DOTALL)

log = structlog.get_logger("reenact")


class CannotReenact(Exception):
    """This version's code cannot read a history that is in the fork; the message names stream, event and reason."""


@dataclass(frozen=True, slots=True)
class Reenacted:
    """How much was read. `unread`: streams whose events after the position cannot be read by this version; what their
    later effects came to is not of use. `cut`: the command of which the position left only the first events there; what
    the others would have begun never begins in the fork."""

    actors: int = 0
    events: int = 0
    unread: tuple[str, ...] = ()
    cut: str = ""


async def reenact(draft: Draft, kinds: Kinds) -> Reenacted:
    """Put everything that was under way into the fork, and name the work of the original's later effects."""
    actors, events, page = 0, 0, 0
    unread: list[str] = []
    cut = ""
    while streams := await draft.streams(page):
        for stream in streams:
            kind = kinds.get(stream.address.kind)
            if stream.address.kind in NOBODYS or (kind is None and not stream.version):
                continue
            if kind is None:
                known = ", ".join(sorted(kinds)) or "none"
                raise CannotReenact(
                    f"{stream.address} is of a kind that is unknown here; the kinds are {known}. "
                    "Fork with the version that wrote it"
                )
            actor = _Actor(draft, kind, stream)
            if not await actor.run():
                unread.append(str(stream.address))
            cut = cut or actor.cut
            actors, events = actors + bool(stream.version), events + stream.version
        page += 1
    return Reenacted(actors, events, tuple(unread), cut)


@dataclass
class _Actor:
    """One actor's life again."""

    draft: Draft
    kind: Kind[Any]
    stream: ForkedStream
    state: Any = None
    timers: dict[str, NewTimer] = field(default_factory=dict[str, NewTimer])
    fired: dict[str, str] = field(default_factory=dict[str, str])
    sends: list[tuple[int, NewSend]] = field(default_factory=list[tuple[int, NewSend]])
    effects: list[NewEffect] = field(default_factory=list[NewEffect])
    works: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    last: Recorded | None = None  # In the fork.
    cut: str = ""

    async def run(self) -> bool:
        """False if events after the position cannot be read."""
        address = self.stream.address
        self.state, version, readable = self.kind.initial(address), 0, True
        while readable and (page := await self.draft.history(address, version, PAGE_EVENTS)):
            readable = self._live(page)
            version = page[-1].version
            await self._hand_over(address)
        if self.timers:
            await self.draft.want(Wanted(address, timers=tuple(self.timers.values())))
        return readable

    def _live(self, page: Sequence[Recorded]) -> bool:
        for recorded in page:
            try:
                self._again(recorded)
            except Exception as error:
                words = (
                    f"{recorded.address}: event {recorded.version} ({recorded.type}): {type(error).__name__}: {error}"
                )
                if recorded.version <= self.stream.version:
                    raise CannotReenact(
                        f"{words}. This version cannot read it: fork with the one that wrote it, or add an upcaster"
                    ) from error
                log.warning("reenact.unread", stream=str(recorded.address), error=words)
                return False
        return True

    def _again(self, recorded: Recorded) -> None:
        event = self.kind.event_vocabulary.decode(recorded.body, recorded.type)
        self.state = self.kind.evolve(self.state, event)
        reactions = self.kind.react(self.state, event)
        there = recorded.version <= self.stream.version
        if there:
            self._firing(recorded)
            self.last = recorded
        elif recorded.version == self.stream.version + 1 and self.last and self.last.causation == recorded.causation:
            self.cut = recorded.causation
        for what in followed(reactions, recorded.address, recorded.version, recorded.at, recorded.correlation):
            if isinstance(what, NewEffect):
                self.works.append((what.key, hashlib.sha256(what.body).digest()))
            if there:
                self._want(recorded.position, what)

    def _want(self, position: int, what: Followed) -> None:
        match what:
            case NewSend():
                self.sends.append((position, what))
            case NewTimer(key=key):
                self.timers[key] = what
            case Cancel(key):
                self.timers.pop(key, None)
            case NewEffect():
                self.effects.append(what)
            case Answer():
                pass  # Who asked the original is answered there.

    def _firing(self, recorded: Recorded) -> None:
        """A timer is over once an event names its firing as cause; one that is due later was set after that firing."""
        found = _FIRING.fullmatch(recorded.causation)
        if found is None or self.fired.get(found[1]) == recorded.causation:
            return
        self.fired[found[1]] = recorded.causation
        timer = self.timers.get(found[1])
        if timer is not None and timer.due <= recorded.at:
            del self.timers[found[1]]

    async def _hand_over(self, address: Address) -> None:
        """What this page wanted; settled things too, which the store knows to leave out."""
        if self.sends or self.effects:
            await self.draft.want(Wanted(address, tuple(self.sends), (), tuple(self.effects)))
        await self.draft.worked(address.project, self.works)
        self.sends, self.effects, self.works = [], [], []
