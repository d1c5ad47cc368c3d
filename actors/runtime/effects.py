"""Effect workers: claim a row, touch the world, write the outcome as a send under the same claim.

A worker that dies leaves its claim to run out; another then performs again with the same key (repeatable work is paid
twice, idempotent work is not). An effect always ends: when every attempt failed, the performer words the failure and
the actor hears it. Work and its outcome never touch an actor's state. In a fork the record is asked first.
"""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import TypeVar
from uuid import UUID

import anyio
import anyio.abc
import msgspec
import structlog
from structlog.contextvars import bind_contextvars

from actors.runtime.chance import any_chance, new_uuid, spread
from actors.runtime.kind import EffectCall, Performer
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus, Clock
from actors.runtime.record import Record
from actors.runtime.turn import plain
from eventstore.store import ClaimedEffect, EffectOutcome, EventStore, StoreUnavailable
from protocol.codec import BODY_BYTES_MAX, encode
from protocol.message import Command, tag_of
from protocol.subjects import partition_of

CLAIM_TTL_S = 15.0
HEARTBEAT_EVERY_S = CLAIM_TTL_S / 3
SWEEP_EVERY_S = 2.0
BACKOFF_FIRST_S = 0.5
BACKOFF_S_MAX = 30.0
OUTCOME_BYTES_MAX = BODY_BYTES_MAX // 2  # The event made of it must fit too.

T = TypeVar("T")
log = structlog.get_logger("effects")


class EffectWorker:
    """Performs the effects of the kinds it has performers for."""

    def __init__(
        self,
        store: EventStore,
        bus: Bus,
        performers: Mapping[str, Performer],
        clock: Clock,
        metrics: RuntimeMetrics | None = None,
        record: Record | None = None,
        worker: UUID | None = None,
        chance: Random | None = None,
    ) -> None:
        self._chance = chance or any_chance()
        self.worker = worker or new_uuid(self._chance)
        self._record = record
        self._store, self._bus, self._performers, self._clock = store, bus, performers, clock
        self._metrics = metrics or RuntimeMetrics()
        self._running = dict.fromkeys(performers, 0)
        self._claims: dict[tuple[str, str], ClaimedEffect] = {}
        self._decoders = {kind: msgspec.json.Decoder(p.work) for kind, p in performers.items()}
        self._stirred = anyio.Event()
        self._idle = anyio.Event()
        self._draining = False

    async def run(self) -> None:
        await self._bus.on_effects(list(self._performers), self._stir)
        async with anyio.create_task_group() as group:
            group.start_soon(self._heartbeat)
            while True:
                self._stirred = anyio.Event()
                try:
                    await self._claim(group)
                except StoreUnavailable as error:
                    log.warning("effects.wait", error=str(error))
                with anyio.move_on_after(SWEEP_EVERY_S):
                    await self._stirred.wait()

    async def drain(self) -> None:
        """Take no new work; return when what runs has ended."""
        self._draining = True
        while any(self._running.values()):
            self._idle = anyio.Event()
            await self._idle.wait()

    def _stir(self) -> None:
        self._stirred.set()

    async def _claim(self, group: anyio.abc.TaskGroup) -> None:
        for kind, performer in self._performers.items():
            free = performer.concurrent_max - self._running[kind]
            if self._draining or free <= 0:
                continue
            for effect in await self._store.claim_effects([kind], self.worker, CLAIM_TTL_S, free):
                known = _id_of(effect) in self._claims
                self._claims[_id_of(effect)] = effect
                if known:
                    # It ran out while the store was away, and nobody else took it: what runs goes on under the new one.
                    log.warning("effects.claim_renewed", key=effect.key)
                    continue
                self._running[kind] += 1
                group.start_soon(self._perform, performer, effect)

    async def _heartbeat(self) -> None:
        while True:
            await anyio.sleep(HEARTBEAT_EVERY_S)
            if any(self._running.values()):
                try:
                    await self._store.extend_claims(self.worker, CLAIM_TTL_S)
                except StoreUnavailable as error:
                    log.warning("effects.heartbeat_missed", error=str(error))

    async def _perform(self, performer: Performer, effect: ClaimedEffect) -> None:
        call = EffectCall(effect.address, effect.key, effect.at, effect.correlation, effect.attempt)
        # In the context of this task alone: every line the performer writes says what it is about.
        bind_contextvars(correlation=effect.correlation, actor=str(effect.address), effect=effect.key)
        running, started = self._metrics.effects_running.labels(performer.kind), anyio.current_time()
        running.inc()
        try:
            ended, outcome = await self._attempt(performer, call, effect)
            seconds = anyio.current_time() - started
            if outcome is not None and not await self._finish(effect, outcome):
                ended = "claim_lost"
            self._metrics.attempted(performer.kind, ended, seconds)
            log.info("effects.ended", kind=performer.kind, ended=ended, attempt=call.attempt, seconds=round(seconds, 3))
        finally:
            running.dec()
            self._running[performer.kind] -= 1
            del self._claims[_id_of(effect)]
            self._idle.set()
            self._stirred.set()

    async def _attempt(
        self, performer: Performer, call: EffectCall, effect: ClaimedEffect
    ) -> tuple[str, Command | None]:
        """How the attempt ended, with the outcome, or None when the effect was given back for another attempt."""
        try:
            work = self._decoders[performer.kind].decode(effect.body)
        except msgspec.DecodeError as error:
            # Not ours to decode: another version wrote it, and one that can will take it.
            log.error("effects.undecodable", key=effect.key, error=str(error))
            await self._until_stored(lambda: self._store.retry_effect(self._current(effect), BACKOFF_S_MAX))
            return "undecodable", None
        if (record := self._record) is not None:
            answer = await self._until_stored(lambda: record.answer(performer, call, work, effect.body))
            if answer is not None:
                return "recorded", answer
        if effect.safety == "once" and call.attempt > 1:
            words = "an earlier attempt did not come back; what it did is unknown"
            return "given_up", performer.give_up(call, work, words)
        try:
            with anyio.fail_after(performer.timeout_s):
                outcome = await performer.perform(call, work)
            _check_size(outcome)
            return "done", outcome
        except Exception as error:  # noqa: BLE001 - whatever a performer raises is a failed attempt, told to its actor
            words = plain(f"{type(error).__name__}: {error}")
        log.warning("effects.attempt_failed", key=effect.key, kind=performer.kind, attempt=call.attempt, error=words)
        if call.attempt >= performer.attempts_max or effect.safety == "once":
            return "given_up", performer.give_up(call, work, words)
        delay_s = spread(self._chance, min(BACKOFF_FIRST_S * 2 ** (call.attempt - 1), BACKOFF_S_MAX))
        await self._until_stored(lambda: self._store.retry_effect(self._current(effect), delay_s))
        return "retried", None

    async def _finish(self, effect: ClaimedEffect, command: Command) -> bool:
        """Write the outcome; False when another worker has the effect now."""
        outcome = EffectOutcome(tag_of(command), encode(command), self._clock())
        partition = partition_of(effect.address)
        if await self._until_stored(lambda: self._store.finish_effect(self._current(effect), outcome, partition)):
            await self._bus.ring([effect.address])
            return True
        log.warning("effects.claim_lost", key=effect.key)
        return False

    def _current(self, effect: ClaimedEffect) -> ClaimedEffect:
        """The effect under the claim this worker has now."""
        return self._claims[_id_of(effect)]

    async def _until_stored(self, call: Callable[[], Awaitable[T]]) -> T:
        delay_s = BACKOFF_FIRST_S
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                log.warning("effects.store_waits", error=str(error))
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, BACKOFF_S_MAX)


def _id_of(effect: ClaimedEffect) -> tuple[str, str]:
    return effect.address.project, effect.key


def _check_size(outcome: Command) -> None:
    size = len(encode(outcome))
    if size > OUTCOME_BYTES_MAX:
        raise ValueError(f"{tag_of(outcome)} has {size} bytes, limit {OUTCOME_BYTES_MAX}; store big content as a blob")
