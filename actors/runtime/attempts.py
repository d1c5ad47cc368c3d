"""One attempt at an effect as others see it: its log lines, its tap, its place in the trace, and what is counted of it.

Nothing here survives the process, and nothing rests on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio
import msgspec
import structlog
from structlog.contextvars import bind_contextvars

from actors.runtime.endings import Ending, Wording
from actors.runtime.kind import EffectCall, Kinds, Performer
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Clock
from actors.runtime.taps import Tap, Taps
from actors.runtime.tracing import Tracer, attempt_place, record_all, spans_of_attempt
from eventstore.store import ClaimedEffect
from protocol.trace import TraceContext

log = structlog.get_logger("effects")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Under way. `began_at` is None where nobody exports spans."""

    effect: ClaimedEffect
    number: int
    place: TraceContext
    tap: Tap
    started: float
    began_at: datetime | None


class Attempts:
    """Those of one process."""

    def __init__(
        self, performers: Mapping[str, Performer], kinds: Kinds | None, taps: Taps, metrics: RuntimeMetrics,
        tracer: Tracer, root: str, clock: Clock,
    ) -> None:  # fmt: skip
        self._kinds, self._taps, self._metrics, self._tracer = kinds, taps, metrics, tracer
        self._root, self._clock = root, clock
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            kind: msgspec.json.Decoder(performer.work) for kind, performer in performers.items()
        }

    def begin(self, effect: ClaimedEffect, number: int) -> Attempt:
        """In the context of this task alone: every line that is logged below says what it is about."""
        there = attempt_place(effect, number)
        bind_contextvars(
            correlation=effect.correlation, trace_id=there.trace_id, actor=str(effect.address), effect=effect.key
        )
        tap = self._taps.open(effect.address, effect.key, number, effect.effect_kind, there.traceparent)
        began_at = self._clock() if self._tracer.enabled else None
        return Attempt(effect, number, there, tap, anyio.current_time(), began_at)

    def wording(self, performer: Performer, attempt: Attempt) -> Wording | None:
        """The words for it. None for work that is not ours to decode: another version wrote it, and one that can will
        take it."""
        effect = attempt.effect
        try:
            work = self._decoders[performer.kind].decode(effect.body)
        except msgspec.DecodeError as error:
            log.error("effects.undecodable", key=effect.key, error=str(error))
            return None
        number = max(1, effect.attempt)
        call = EffectCall(effect.address, effect.key, effect.at, effect.correlation, number, attempt.tap, attempt.place)
        return Wording(performer, self._kinds, call, work)

    def end(self, attempt: Attempt, ended: str, ending: Ending) -> None:
        """Count it, log it and record its spans. `ended` as the store has it."""
        kind, seconds = attempt.effect.effect_kind, anyio.current_time() - attempt.started
        self._metrics.attempted(kind, ended, seconds)
        if ending.nonsense:
            self._metrics.effects_nonsense.labels(kind).inc()
        tell = log.info if ended in ("done", "recorded", "settled") else log.warning
        tell(
            "effects.ended", kind=kind, ended=ended, attempt=attempt.effect.attempt, seconds=round(seconds, 3),
            **({"error": ending.error} if ending.error else {}),
        )  # fmt: skip
        if attempt.began_at is not None:
            times = attempt.began_at, self._clock()
            told = "" if ended == "claim_lost" else told_by(attempt.effect, ending)
            spans = spans_of_attempt(attempt.effect, attempt.number, self._root, times, ended, told)
            record_all(self._tracer, spans)


def told_by(effect: ClaimedEffect, ending: Ending) -> str:
    """What an effect's actor is told by that ending: how the id of the send goes on behind the effect's key ("":
    nothing)."""
    if ending.outcome is not None:
        return "outcome"
    return "" if ending.told is None else f"unknown.{effect.attempt}"
