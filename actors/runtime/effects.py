"""Effect workers: claim a row, touch the world, write the outcome as a send under the same claim.

- The row decides. A worker that dies leaves its claims to run out; another then performs again with the same key
  (repeatable work is paid twice, idempotent work is not; what may happen once becomes a question for a human). Each
  claim is renewed only while its own call runs, and a call whose claim was lost is cut as soon as that is known.
- An effect ends with exactly one outcome, whatever becomes of its attempts: what it came to, or the performer's word
  that it failed or was cancelled. A doubted one ends when a human has settled it (eventstore/effects.py).
- A withdrawal is carried out once its order stands in the store, by whoever hears of it first; bells only hurry it.

Work and its outcome never touch an actor's state. In a fork the record is asked first.
"""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import TypeVar
from uuid import UUID

import anyio
import anyio.abc
import structlog

from actors.runtime.attempts import Attempt, Attempts, told_by
from actors.runtime.chance import any_chance, new_uuid, spread
from actors.runtime.endings import UNDECODABLE_S, Ending
from actors.runtime.kind import Kinds, Performer
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import NO_TRACES, Bus, Clock
from actors.runtime.record import Record
from actors.runtime.running_call import RunningCall
from actors.runtime.taps import NoTaps, Taps
from actors.runtime.tracing import NO_TRACER, Tracer, told_place
from eventstore.effects import WITHDRAW
from eventstore.store import ClaimedEffect, EffectOutcome, EventStore, StoreUnavailable
from protocol.codec import encode
from protocol.message import Command, tag_of
from protocol.subjects import partition_of

CLAIM_TTL_S = 15.0
HEARTBEAT_EVERY_S = CLAIM_TTL_S / 3
SWEEP_EVERY_S = 2.0
ORDERS_MAX = 500  # Carried out at once.
DECIDED_MAX = 100  # Ended at once without being performed.
GIVE_BACK_S_MAX = 1.0  # For the claims of what a stop has cut.
STORE_FIRST_S = 0.5  # Until a store that was away is asked again,
STORE_S_MAX = 30.0  # and longer each time up to this.
LOOK_BELL = "runtime-look"  # Something was withdrawn or taken over: whoever runs it should look.

T = TypeVar("T")
log = structlog.get_logger("effects")


class EffectWorker:
    """Performs the effects of the kinds it has performers for."""

    def __init__(
        self, store: EventStore, bus: Bus, performers: Mapping[str, Performer], clock: Clock,
        metrics: RuntimeMetrics | None = None, record: Record | None = None, worker: UUID | None = None,
        chance: Random | None = None, kinds: Kinds | None = None, taps: Taps | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:  # fmt: skip
        self._chance = chance or any_chance()
        self.worker = worker or new_uuid(self._chance)
        self._record = record
        self._store, self._bus, self._performers, self._clock = store, bus, performers, clock
        self._metrics = metrics or RuntimeMetrics()
        self._attempts = Attempts(performers, kinds, taps or NoTaps(), self._metrics, tracer, bus.root, clock)
        self._running = dict.fromkeys(performers, 0)
        self._ending = 0  # Effects that are ended without being performed.
        self._calls: dict[tuple[str, str], RunningCall] = {}
        self._claims = anyio.Lock()  # A heartbeat and a new claim of one effect must not overtake each other.
        self._stirred, self._looked_for, self._idle = anyio.Event(), anyio.Event(), anyio.Event()
        self._draining = False

    async def run(self) -> None:
        self._running, self._ending, self._calls = dict.fromkeys(self._performers, 0), 0, {}
        await self._bus.on_effects([*self._performers, WITHDRAW], self._stir)
        await self._bus.on_effects([LOOK_BELL], self._look)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._heartbeat)
                await self._take(group)
        finally:
            await self._give_back()

    async def _take(self, group: anyio.abc.TaskGroup) -> None:
        while True:
            self._stirred = anyio.Event()
            try:
                await self._withdraw()
                await self._claim(group)
            except StoreUnavailable as error:
                log.warning("effects.wait", error=str(error))
            with anyio.move_on_after(SWEEP_EVERY_S):
                await self._stirred.wait()

    async def _give_back(self) -> None:
        """Nothing runs any more: whoever takes over what was cut need not wait for its claim to run out."""
        with anyio.move_on_after(GIVE_BACK_S_MAX, shield=True):
            try:
                for call in self._calls.values():
                    await self._store.retry_effect(call.effect, 0.0)
            except StoreUnavailable as error:
                log.warning("effects.not_given_back", error=str(error))

    async def drain(self) -> None:
        """Take no new work; return when what runs has ended."""
        self._draining = True
        while self._ending or any(self._running.values()):
            self._idle = anyio.Event()
            await self._idle.wait()

    def _stir(self) -> None:
        self._stirred.set()

    def _look(self) -> None:
        self._looked_for.set()
        self._stirred.set()

    async def _withdraw(self) -> None:
        """Carry out what orders there are; who runs what they mean is told to look."""
        withdrawn = await self._store.effects.carry_out(ORDERS_MAX)
        if withdrawn:
            log.info("effects.withdrawn", kinds=withdrawn)
            await self._bus.ring_effects([*withdrawn, LOOK_BELL])

    async def _claim(self, group: anyio.abc.TaskGroup) -> None:
        if self._draining:
            return
        decided = DECIDED_MAX - self._ending
        if self._performers and decided > 0:
            kinds = list(self._performers)
            for effect in await self._store.effects.claim_decided(kinds, self.worker, CLAIM_TTL_S, decided):
                self._ending += 1
                group.start_soon(self._end, effect)
        for kind, performer in self._performers.items():
            free = performer.concurrent_max - self._running[kind]
            if self._draining or free <= 0:
                continue
            async with self._claims:
                for effect in await self._store.claim_effects([kind], self.worker, CLAIM_TTL_S, free):
                    await self._begin(group, performer, effect)

    async def _begin(self, group: anyio.abc.TaskGroup, performer: Performer, effect: ClaimedEffect) -> None:
        running = self._calls.get(_id_of(effect))
        if running is not None:
            # It ran out while the store was away, and nobody else took it: what runs goes on under the new one.
            running.effect = effect
            log.warning("effects.claim_renewed", key=effect.key)
            return
        if effect.attempt > 1:
            await self._bus.ring_effects([LOOK_BELL])  # Whoever had it may believe that it has it still.
        self._running[performer.kind] += 1
        call = RunningCall(effect, lambda: self._free(performer.kind))
        self._calls[_id_of(effect)] = call
        group.start_soon(self._perform, group, performer, call)

    async def _heartbeat(self) -> None:
        """Renew the claims of what runs, and cut what was lost or withdrawn: in time, and when somebody says so."""
        while True:
            self._looked_for = anyio.Event()
            with anyio.move_on_after(HEARTBEAT_EVERY_S):
                await self._looked_for.wait()
            try:
                async with self._claims:
                    await self._hold()
            except StoreUnavailable as error:
                log.warning("effects.heartbeat_missed", error=str(error))

    async def _hold(self) -> None:
        running = list(self._calls.values())
        if not running:
            return
        held = await self._store.effects.hold([call.effect for call in running], CLAIM_TTL_S)
        for call in running:
            claim = held.get(call.effect.claim)
            if claim is None:
                call.cut("claim_lost")
            elif claim.withdrawn:
                call.cut("withdrawn", claim.note)

    async def _perform(self, group: anyio.abc.TaskGroup, performer: Performer, call: RunningCall) -> None:
        effect = call.effect
        gauge = self._metrics.effects_running.labels(performer.kind)
        gauge.inc()
        try:
            attempt = self._attempts.begin(effect, effect.attempt)
            ending = await self._attempt(group, performer, call, attempt)
            ended = await self._write(lambda: call.effect, ending, attempt)
            self._attempts.end(attempt, ended, ending)
            del self._calls[_id_of(effect)]
        finally:
            gauge.dec()
            call.leave()

    async def _attempt(
        self, group: anyio.abc.TaskGroup, performer: Performer, call: RunningCall, attempt: Attempt
    ) -> Ending:
        """How the attempt ended."""
        effect = call.effect
        wording = self._attempts.wording(performer, attempt)
        if wording is None:
            return Ending("undecodable", again_s=UNDECODABLE_S, tried=False)
        if (record := self._record) is not None:
            answer = await self._until_stored(lambda: record.answer(performer, wording.call, wording.work, effect.body))
            if answer is not None:
                return Ending("recorded", answer)
        unperformed = wording.unperformed(effect)
        if unperformed is not None:
            return unperformed
        ended = await call.run(group, lambda: performer.perform(wording.call, wording.work), performer.timeout_s)
        if ended.cut:
            self._metrics.effect_cut(performer.kind, ended.cut, ended.abandoned)
            log.warning("effects.cut", kind=performer.kind, cut=ended.cut, abandoned=ended.abandoned, why=ended.why)
        return wording.ending(effect, ended, self._chance)

    async def _end(self, effect: ClaimedEffect) -> None:
        """End an effect that was withdrawn, or that a human has settled."""
        try:
            attempt = self._attempts.begin(effect, effect.attempt + 1)
            ending = await self._decided(self._performers[effect.effect_kind], attempt)
            ended = await self._write(lambda: effect, ending, attempt)
            self._attempts.end(attempt, ended, ending)
        finally:
            self._ending -= 1
            self._idle.set()

    async def _decided(self, performer: Performer, attempt: Attempt) -> Ending:
        effect, record = attempt.effect, self._record
        wording = self._attempts.wording(performer, attempt)
        if wording is None:
            return Ending("undecodable", again_s=UNDECODABLE_S)
        if record is not None and effect.state == "withdrawn":
            # In the original it may have been done before its withdrawal reached it.
            known = await self._until_stored(lambda: record.known(wording.call, effect.body))
            if known is not None:
                return Ending("recorded", known)
        return wording.decided(effect)

    async def _write(self, current: Callable[[], ClaimedEffect], ending: Ending, attempt: Attempt) -> str:
        """Have the store know the ending, under the claim that is `current`; its name, or "claim_lost" when another
        worker has the effect now."""
        store, partition = self._store, partition_of(current().address)
        if ending.outcome is not None:
            outcome = self._told(ending.outcome)
            held = await self._until_stored(lambda: store.finish_effect(current(), outcome, partition))
            if held:
                attempt.tap.end()
        elif ending.doubt:
            told = None if ending.told is None else self._told(ending.told)
            held = await self._until_stored(lambda: store.effects.doubt(current(), ending.doubt, told, partition))
        elif (wait_s := ending.again_s) is not None:
            held = await self._until_stored(lambda: store.retry_effect(current(), wait_s, ending.tried))
        else:
            held = False
        if held and ending.again_s is None:
            receiver, said = current().address, told_by(current(), ending)
            await self._bus.ring([receiver], {receiver: told_place(current(), said).traceparent} if said else NO_TRACES)
        return ending.ended if held else "claim_lost"

    def _told(self, command: Command) -> EffectOutcome:
        return EffectOutcome(tag_of(command), encode(command), self._clock())

    def _free(self, kind: str) -> None:
        self._running[kind] -= 1
        self._idle.set()
        self._stirred.set()

    async def _until_stored(self, call: Callable[[], Awaitable[T]]) -> T:
        delay_s = STORE_FIRST_S
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                log.warning("effects.store_waits", error=str(error))
                await anyio.sleep(spread(self._chance, delay_s))
                delay_s = min(delay_s * 2, STORE_S_MAX)


def _id_of(effect: ClaimedEffect) -> tuple[str, str]:
    return effect.address.project, effect.key
