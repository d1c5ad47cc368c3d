"""The order in which the actors of a fork take what they are sent: that of the original, for as long as it can be kept.

What an actor comes to depends on nothing but the order of its commands. The original's log has it: the causes of each
stream's events. So a fork in which nothing was changed goes the original's way event by event, its effects have the
same keys, and their outcomes are found in the record; where something was changed, the rest keeps its way as far as it
can.

A send that is not its receiver's next one waits in the outbox. What will never come must not hold up a company: when
nothing is under way but what waits here, sends that led to nothing in the original are let through, and if there are
none, the oldest, whose receiver is on its own from then on. So is an actor from the first command that the original
had from outside: nobody sends that again. Commands from outside that come now are not held up. Nothing here is stored;
after a crash each stream shows how far its actor came.
"""

import re
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import anyio
import structlog

from actors.runtime.mailboxes import Mailboxes
from actors.runtime.ports import Bus
from eventstore.store import EventStore, PendingSend, StoreUnavailable
from protocol.subjects import PARTITIONS, Address

LOOK_EVERY_S = 0.3  # How long a company stands still at most that waits for what never comes.
ACTORS_MAX = 500  # Receivers looked at in one look.
ROWS_MAX = 10_000
HOWEVER_YOUNG_S = -1.0
_FIRING = re.compile(r"timer:(.*):[0-9]+", re.DOTALL)
_INSIDE = re.compile(r"[^@]+@[0-9]+\.[0-9]+(:outcome)?")

log = structlog.get_logger("score")


@dataclass
class _Part:
    """What is left of one actor's score, and which of its rows may be taken."""

    causes: deque[str] = field(default_factory=deque[str])
    let_in: set[int] = field(default_factory=set[int])


class Score:
    """Keeps the order. `effects` are the kinds that this process performs."""

    def __init__(self, store: EventStore, bus: Bus, mailboxes: Mailboxes, effects: Collection[str]) -> None:
        self._store, self._bus, self._mailboxes, self._effects = store, bus, mailboxes, effects
        self._parts: dict[Address, _Part] = {}

    async def admit(self, rows: Sequence[PendingSend]) -> list[PendingSend]:
        """Those of `rows` that may be taken now, each actor's in the order in which it is to take them."""
        waiting: dict[Address, list[PendingSend]] = {}
        for row in rows:
            waiting.setdefault(row.to, []).append(row)
        return [row for address, sends in waiting.items() for row in self._of(await self._part(address), sends)]

    async def run(self) -> None:
        """Let something through whenever everything waits."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except StoreUnavailable as error:
                log.warning("score.waits", error=str(error))

    async def look(self) -> None:
        """See whether everything waits; if so, let something through."""
        held = await self._all_held()
        if not held:
            return
        led_to_nothing = [row for row in held if _named(row.id) not in self._parts[row.to].causes]
        for row in led_to_nothing:
            self._parts[row.to].let_in.add(row.outbox_id)
        if not led_to_nothing:
            oldest = min(held, key=lambda row: row.outbox_id)
            causes = self._parts[oldest.to].causes
            log.info("score.left", actor=str(oldest.to), instead=oldest.id, expected=causes[0])
            causes.clear()
        await self._bus.ring(list(dict.fromkeys(row.to for row in held)))

    async def _all_held(self) -> list[PendingSend]:
        """What waits here, if nothing else is under way; else nothing.

        A turn leads from a send to effects and sends by events, and only a turn: where no effect is open, every send in
        the outbox is held, and no event came while one looked, there is nothing that could move.
        """
        head = await self._store.head()
        if self._mailboxes.waiting or await self._store.forks.effects_open(self._effects):
            return []
        receivers = await self._store.overdue_sends(range(PARTITIONS), HOWEVER_YOUNG_S, ACTORS_MAX)
        rows = await self._store.pending_sends(receivers, ROWS_MAX) if receivers else []
        held = [row for row in rows if row.to in self._parts and row.outbox_id not in self._parts[row.to].let_in]
        if len(held) < len(rows) or self._mailboxes.waiting or await self._store.head() != head:
            return []
        return held

    def _of(self, part: _Part, rows: list[PendingSend]) -> list[PendingSend]:
        # What was let in stays in front; it is in the outbox until it is committed.
        taken = [row for row in rows if row.outbox_id in part.let_in]
        left = [row for row in rows if row.outbox_id not in part.let_in]
        while left:
            row = left[0]
            if part.causes:
                following = next((row for row in left if _named(row.id) == part.causes[0]), None)
                if following is None:
                    break
                row = following
                part.causes.popleft()
            left.remove(row)
            taken.append(row)
        part.let_in = {row.outbox_id for row in taken}
        return taken

    async def _part(self, address: Address) -> _Part:
        """The actor's part from where it has come to, which its stream shows."""
        part = self._parts.get(address)
        if part is None:
            part = self._parts[address] = await self._begun(address)
        return part

    async def _begun(self, address: Address) -> _Part:
        score: list[tuple[int, str]] = []
        while page := await self._store.forks.score(address, score[-1][0] if score else 0):
            score.extend(page)
        if not score:
            return _Part()
        version = score[0][0] - 1
        # The cause of the last event that both have: it may have caused more in the original, where a commit was cut.
        last = [event.causation for event in await self._store.read_stream(address, version - 1, 1)] if version else []
        causes = _changes([*last, *(cause for _, cause in score)])[len(last) :]
        came: list[str] = list(last)
        while events := await self._store.read_stream(address, version):
            came.extend(event.causation for event in events)
            version = events[-1].version
        taken = _changes(came)[len(last) :]
        if causes[: len(taken)] != taken:
            return _Part()  # It has left the original's way.
        left = causes[len(taken) :]
        outside = next((n for n, cause in enumerate(left) if _from_outside(cause)), len(left))
        return _Part(deque(left[:outside]))


def _changes(causes: Sequence[str]) -> list[str]:
    """Each command once: its events follow one another."""
    return [_named(cause) for n, cause in enumerate(causes) if not n or cause != causes[n - 1]]


def _named(cause: str) -> str:
    """What names a command in the original and in the fork: of a firing its timer's key."""
    firing = _FIRING.fullmatch(cause)
    return f"timer:{firing[1]}" if firing else cause


def _from_outside(cause: str) -> bool:
    return not cause.startswith("timer:") and _INSIDE.fullmatch(cause) is None
