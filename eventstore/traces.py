"""Traces that were given to the company, written as promises. `store.traces`; what a trace is: protocol/trace.py.

- A unit that was decided for a command with a trace of its own says so (`Unit.traces`): it becomes true with the unit,
  in its commit, and is known as long as the log. Of all others nothing is stored, since theirs can be worked out.
- Whatever follows from an event of such a unit is handed out with that trace: its sends, its timers when they have
  fired, its effects and their outcomes; so is an ask that is answered later, and a command that waited for a parked
  actor. After a crash too, and in any process.
- A fork begins without any, and so does a log that was imported: what happens there is no part of the original's trace.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

RESENT = "runtime/"  # So begins the cause of a command that waited for a parked actor: the event that let it go on.


@dataclass(frozen=True, slots=True)
class Traced:
    """`key`: the event ("tools/t1@3"), or the id of a command that is answered later or waits for a parked actor.
    `trace`: a place in its trace, as protocol/trace.py stores it."""

    key: str
    trace: str


class Traces(Protocol):
    """May raise StoreUnavailable, and may then be asked again."""

    async def given(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The traces of those (project, key) to which one was given."""
        ...


def key_of(id: str, causation: str) -> str:
    """The key under which the trace of a send or an effect is found; `trace_key` in 0018_traces.sql."""
    if not causation.startswith(RESENT):
        return causation.partition(".")[0]
    return id.partition(".")[0] if "@" in id else id
