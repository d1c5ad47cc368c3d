"""Cores told as stories: given what happened, when somebody wants something, then this happens and that follows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from actors.runtime.kind import Kind, Reaction
from protocol.codec import encode
from protocol.message import Command, Event, Refusal, tag_of
from protocol.subjects import Address


@dataclass(frozen=True)
class Scenario:
    """One actor and what it has lived through. Every step gives a new one."""

    kind: Kind[Any]
    state: Any
    decided: tuple[Event, ...] = ()
    followed: tuple[Reaction, ...] = ()
    refusal: Refusal | None = None

    @classmethod
    def of(cls, kind: Kind[Any], name: str = "t1") -> Self:
        return cls(kind, kind.initial(Address("demo", kind.name, name)))

    def given(self, *events: Event) -> "Scenario":
        return replace(self, state=self._fold(events)[0], decided=(), followed=(), refusal=None)

    def when(self, command: Command) -> "Scenario":
        """Decide, and live through what was decided. The command travels as it does on the wire."""
        command = self.kind.command_vocabulary.decode(encode(command))
        try:
            decided = self.kind.decide(self.state, command)
        except Refusal as refusal:
            return replace(self, decided=(), followed=(), refusal=refusal)
        state, followed = self._fold(decided)
        return replace(self, state=state, decided=decided, followed=followed, refusal=None)

    def then(self, *events: Event) -> "Scenario":
        """Exactly these events were decided; none: silence."""
        assert self.refusal is None, f"refused: {self.refusal}"
        assert self.decided == events
        return self

    def then_kinds(self, *classes: type[Event]) -> "Scenario":
        assert self.refusal is None, f"refused: {self.refusal}"
        assert [type(event) for event in self.decided] == list(classes)
        return self

    def follows(self, *reactions: Reaction) -> "Scenario":
        """Exactly these sends, timers, cancels and effects follow from what was decided."""
        assert self.followed == reactions
        return self

    def refused(self, code: str, *words: str) -> "Scenario":
        """With that code, and with each of these words in its message."""
        assert self.refusal is not None, f"decided {self.decided}"
        assert self.refusal.code == code
        for word in words:
            assert word in self.refusal.message
        return self

    def _fold(self, events: Sequence[Event]) -> tuple[Any, tuple[Reaction, ...]]:
        state, followed = self.state, ()
        for event in events:
            read = self.kind.event_vocabulary.decode(encode(event), tag_of(event))
            assert read == event, "an event is read back as it was written"
            state = self.kind.evolve(state, read)
            followed = (*followed, *self.kind.react(state, read))
        return state, followed


def silent(scenario: Scenario, *commands: Command) -> None:
    """Each of these changes nothing."""
    for command in commands:
        after = scenario.when(command)
        after.then().follows()
        assert after.state == scenario.state
