"""Asks that are answered later: their answers are sent after the commit that decided them, and each one ends.

- An answer is in the store before anybody hears it. One whose sending was lost is sent when somebody asks again under
  the same id, until the ask is forgotten, ANSWER_KEPT_S after its deadline.
- An ask that is open at its deadline ends with the code "expired", by the store's clock, and not later than the two
  clocks differ; after an outage of the store or of all processes, when they are back.
- Only the owner of an ask's partition ends it so; two that believe they are end it once.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import anyio
import msgspec
import structlog

from actors.runtime.later import ended
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus, Clock
from actors.runtime.traces import place
from actors.runtime.work import known_answer
from eventstore.asks import EXPIRED as NO_ANSWER
from eventstore.asks import Ask
from eventstore.store import EventStore, StoreUnavailable, Unit
from protocol.codec import encode
from protocol.envelope import format_time
from protocol.message import Refusal
from protocol.reply import EXPIRED, Reply
from protocol.trace import TraceContext

ASKS_MAX = 500  # Ended, or forgotten, in one call.
ANSWER_KEPT_S = 60.0  # An asker whose deadline has passed has given up; a moment longer, since clocks differ.
FORGET_EVERY_S = 30.0
AGAIN_S = 1.0  # After a failure.

_NEVER = datetime.max.replace(tzinfo=UTC)

Known = dict[str, bytes | None]  # By id: a Reply as bytes, None while its ask is open.

log = structlog.get_logger("asks")
_decode = msgspec.json.Decoder(Reply).decode


class Asks:
    """One per process. `held` are the partitions that it owns, as they are at any time."""

    def __init__(
        self,
        store: EventStore,
        bus: Bus,
        held: Collection[int],
        clock: Clock,
        metrics: RuntimeMetrics | None = None,
    ) -> None:
        self._store, self._bus, self._held, self._clock = store, bus, held, clock
        self._metrics = metrics or RuntimeMetrics()
        self._changed = anyio.Event()
        self._soonest = _NEVER  # When the next ask ends, as far as it is known here.
        self._resting = False

    def changed(self) -> None:
        """Partitions were gained: look again."""
        self._changed.set()

    async def committed(self, units: Sequence[Unit]) -> None:
        """These are in the store: whoever is answered in them is told, and what they ask will end. StoreUnavailable."""
        answered: dict[str, list[str]] = {}
        for unit in units:
            if unit.answers:
                answered.setdefault(unit.address.project, []).extend(answer.ask for answer in unit.answers)
            for ask in unit.asks:
                if ask.deadline < self._soonest:
                    self._soonest = ask.deadline
                    if self._resting:
                        self._changed.set()
        for project, ids in answered.items():
            for ask in await self._store.asks.answered(project, ids):
                end = end_of(ask)
                self._metrics.ask_ended(ask.address.kind, _decode(end))
                await self._bus.reply(ask.reply_to, end, place_of(ask).traceparent)

    async def known(self, project: str, inboxes: Mapping[str, str], later: bool = True) -> Known:
        """Those of the ids that were settled before, and what is told those who ask again under them. Of an ask that is
        open still they hear when it ends. Not `later`: none of them was to be answered later. StoreUnavailable."""
        rows = await self._store.inbox(project, list(inboxes))
        accepted = {id_: inboxes[id_] for id_, row in rows.items() if row.outcome == "accepted"} if later else {}
        asks = {ask.id: ask for ask in await self._store.asks.repeat(project, accepted)} if accepted else {}
        told = {id_: encode(known_answer(row)) for id_, row in rows.items() if id_ not in asks}
        return told | {id_: None if ask.answer is None else end_of(ask) for id_, ask in asks.items()}

    async def run(self) -> None:
        """End asks at their deadlines until cancelled."""
        forget_at = anyio.current_time()
        while True:
            self._changed, self._soonest = anyio.Event(), _NEVER  # Of what is opened meanwhile.
            rest_s = FORGET_EVERY_S
            try:
                held = list(self._held)
                await self._expire(held)
                if anyio.current_time() >= forget_at:
                    while await self._store.asks.forget(held, ANSWER_KEPT_S, ASKS_MAX) == ASKS_MAX:
                        pass
                    forget_at = anyio.current_time() + FORGET_EVERY_S
                due_s = await self._store.asks.next_deadline_s(held)
                if due_s is not None:
                    rest_s = min(max(due_s, 0.0), FORGET_EVERY_S)
            except StoreUnavailable as error:
                log.warning("asks.wait", error=str(error))
                rest_s = AGAIN_S
            now = self._clock()
            self._soonest = min(self._soonest, now + timedelta(seconds=rest_s))
            self._resting = True
            with anyio.move_on_after((self._soonest - now).total_seconds()):
                await self._changed.wait()
            self._resting = False

    async def _expire(self, held: Sequence[int]) -> None:
        for ask in await self._store.asks.expire(held, ASKS_MAX):
            end, there = end_of(ask), place_of(ask)
            self._metrics.ask_ended(ask.address.kind, _decode(end))
            about = {"correlation": ask.correlation, "trace_id": there.trace_id, "actor": str(ask.address)}
            log.info("asks.expired", **about, command=ask.id)
            await self._bus.reply(ask.reply_to, end, there.traceparent)


def place_of(ask: Ask) -> TraceContext:
    """Where in its trace an ask was processed."""
    return place(ask.trace, ask.address.project, ask.correlation, "process", ask.id)


def end_of(ask: Ask) -> bytes:
    """What the asker of an ask that is over is told: a Reply as bytes."""
    if ask.answer not in (None, NO_ANSWER):
        return ask.answer
    words = f"no answer came by the deadline {format_time(ask.deadline)}; what the command began may go on"
    return encode(ended(ask.id, ask.address, Refusal(EXPIRED, words)))
