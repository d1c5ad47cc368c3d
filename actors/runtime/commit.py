"""The coalescer: takes what is ready, decides it, commits it in one call, and only then lets anyone see it.

There is no timer: the running commit is the window in which the next batch gathers. After a lost connection the
identical batch is sent again and finds itself: its commands are known, their outcome is in the inbox. The cache holds
committed state only; a conflict drops that stream's entry, a fence that of its partition.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

import anyio
import structlog

from actors.runtime.activation import ActorCache, CacheLimits
from actors.runtime.asks import Asks
from actors.runtime.cursor import Cursors, Place
from actors.runtime.kind import Kinds
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ownership import Held, Ownership, OwnershipLost
from actors.runtime.poison import Poison
from actors.runtime.ports import Bus, Clock
from actors.runtime.pressure import Pressure
from actors.runtime.traces import bells
from actors.runtime.tracing import NO_TRACER, Tracer, record_works
from actors.runtime.turn import Loaded, Pending, Watch
from actors.runtime.work import Work, decide, expired_in, refuse
from eventstore.store import Batch, EventStore, Fence, InvalidUnit, Lease, StoreUnavailable, Verdict
from protocol.codec import encode
from protocol.message import Refusal
from protocol.subjects import Address, partition_of

UNITS_MAX = 1_000  # Actors in one commit.
UNIT_COMMANDS_MAX = 64  # Commands of one actor in one commit: a busy actor must not starve the batch.
ADVANCE_EVERY_S = 1.0
RETRY_FIRST_S = 0.05
RETRY_S_MAX = 2.0
NO_LEASES: Mapping[int, Held] = MappingProxyType({})

T = TypeVar("T")
log = structlog.get_logger("commit")


class Committer:
    """Runs turns and commits them. One per process; nothing else writes through the fence."""

    def __init__(
        self,
        store: EventStore,
        bus: Bus,
        kinds: Kinds,
        mailboxes: Mailboxes,
        cursors: Cursors,
        ownership: Ownership,
        clock: Clock,
        timers_changed: Callable[[], None],
        metrics: RuntimeMetrics | None = None,
        pressure: Pressure | None = None,
        cache: CacheLimits | None = None,
        watch: Watch | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._store, self._bus, self._kinds = store, bus, kinds
        self._mailboxes, self._cursors, self._ownership = mailboxes, cursors, ownership
        self._clock, self._timers_changed = clock, timers_changed
        self._metrics = metrics or RuntimeMetrics(kinds=kinds)
        self._pressure = pressure or Pressure(mailboxes, cursors, bus, self._metrics)
        self.asks = Asks(store, bus, ownership.held, clock, self._metrics)
        self.actors = self._actors = ActorCache(store, kinds, mailboxes, cache)
        self._metrics.actors_cached.set_function(lambda: len(self.actors))
        self._metrics.actor_cache_bytes.set_function(lambda: self.actors.bytes)
        self.poison = Poison(store, bus, mailboxes, cursors, self._metrics, self._actors.drop)
        self._watch, self._tracer = watch or Watch(), tracer
        self.commits = 0  # Batches that the store has answered.
        self._in_hand: set[int] = set()  # Partitions of the step under way.
        self._rested = anyio.Event()

    async def run(self) -> None:
        """Turns as they come; now and then the cursors that no turn moves, also when there is never a rest."""
        advance_at = anyio.current_time() + ADVANCE_EVERY_S
        while True:
            await self._mailboxes.wait(advance_at)
            if anyio.current_time() >= advance_at:
                await self.advance()
                await self.poison.review()
                advance_at = anyio.current_time() + ADVANCE_EVERY_S
            if self._mailboxes.any_ready:
                await self.step()

    async def step(self) -> None:
        """Decide and commit what is ready now."""
        addresses = self._mailboxes.ready(UNITS_MAX)
        self._in_hand = {partition_of(address) for address in addresses}
        try:
            await self._step(addresses)
        finally:
            self._actors.unpin()
            self._pressure.ease()
            self._in_hand = set()
            self._rested.set()
            self._rested = anyio.Event()

    async def _step(self, addresses: Sequence[Address]) -> None:
        under = dict(self._ownership.held)  # A partition that is lost and gained meanwhile has moved on.
        taken = self.poison.take(addresses, UNIT_COMMANDS_MAX)
        await self._until_stored(lambda: self.poison.begin(taken.values()))
        await self._actors.load(
            [a for a, commands in taken.items() if a.kind in self._kinds and not self.poison.bars(a, commands)]
        )
        works = [work for address, commands in taken.items() for work in self._decide(address, commands)]
        while works:
            try:
                verdicts = await self._commit(works, under)
            except InvalidUnit as error:
                works = self.poison.cut_out(works, error, self._decide)
                continue
            except OwnershipLost as error:
                log.info("commit.again", reason=str(error))
                for work in works:
                    self._again(work, ())
                return
            await self._after(works, verdicts, under)
            return

    async def advance(self) -> None:
        """Move the cursors of partitions that have settled more than the store knows, without any unit."""
        behind = self._cursors.behind()
        if behind:
            try:
                await self._commit((), dict(self._ownership.held), behind)
            except OwnershipLost as error:
                log.info("commit.advance_again", reason=str(error))

    async def vacate(self, partition: int) -> None:
        """Begin nothing more in that partition, end what is under way, and move its cursor as far as it can stand: who
        has it next begins there. Called before it is let go."""
        self._mailboxes.pause(partition)
        while partition in self._in_hand:
            await self._rested.wait()
        place = self._cursors.behind().get(partition)
        if place is not None:
            try:
                await self._commit((), dict(self._ownership.held), {partition: place})
            except OwnershipLost as error:
                log.info("commit.vacate_late", reason=str(error))

    def lost(self, partitions: Collection[int]) -> None:
        """Nothing is known any more of the actors of these partitions."""
        self._actors.lose(partitions)

    def gained(self, leases: Sequence[Lease]) -> None:
        """Nor now: what a turn loads that was begun before a partition was lost may stand in the cache since, and
        silence decided on an old state would be committed, since it checks no version."""
        self._actors.lose({lease.partition for lease in leases})

    def _decide(self, address: Address, commands: list[Pending]) -> list[Work]:
        kind, reason = self._kinds.get(address.kind), self._mailboxes.parked(address)
        if reason:
            # Parked while it was loaded: what others sent it stays in the outbox.
            self._mailboxes.done(address, [p for p in commands if p.outbox_id])
            commands = [p for p in commands if not p.outbox_id]
        if not commands:
            return []
        if instead := self.poison.instead(address, commands):
            return instead
        if reason or kind is None:
            return [refuse(commands, Refusal("parked", f"{address} cannot be read by this version: {reason}"))]
        loaded = self._actors.get(address)
        if loaded is None:  # Its partition was lost while it was loaded.
            self._mailboxes.done(address, commands)
            return []
        works, later = decide(kind, address, loaded, commands, self._clock(), self._watch)
        self._watch.turn = None
        self._mailboxes.give_back(address, later)
        return works

    async def _commit(
        self, works: Sequence[Work], under: Mapping[int, Held], behind: Mapping[int, Place] | None = None
    ) -> tuple[Verdict, ...]:
        """Commit what was decided `under` these leases. OwnershipLost when one of them is no more."""
        await self._ownership.valid({*(work.unit.partition for work in works), *(behind or ())}, under)
        generation = self._cursors.generation
        settling: dict[int, set[int]] = {work.unit.partition: set() for work in works}
        for work in works:
            # Of an earlier feed the sequences may be those of another stream: they say nothing about this one.
            settling[work.unit.partition].update(p.sequence for p in work.commands if p.generation == generation)
        targets = dict(behind or {})
        targets |= {partition: self._cursors.preview(partition, done) for partition, done in settling.items()}
        fences = tuple(
            Fence(p, under[p].epoch, under[p].owner, cursor, witness) for p, (cursor, witness) in targets.items()
        )
        batch = Batch(fences, tuple(work.unit for work in works))
        sent_at = anyio.current_time()
        verdicts = await self._until_stored(lambda: self._store.commit(batch), targets, under)
        self.commits += 1
        self._metrics.committed(batch, anyio.current_time() - sent_at)
        lost = {w.unit.partition for w, v in zip(works, verdicts, strict=True) if v.status != "committed"}
        if generation == self._cursors.generation:
            for partition, cursor in targets.items():
                if partition not in lost:
                    self._cursors.committed(partition, cursor)
        await self._until_stored(lambda: self._pressure.tell(self.asks.known))
        return verdicts

    async def _until_stored(
        self, call: Callable[[], Awaitable[T]], partitions: Collection[int] = (), under: Mapping[int, Held] = NO_LEASES
    ) -> T:
        """Ask the store until it answers: the identical batch finds itself if it had been committed. OwnershipLost when
        one of these partitions was lost meanwhile."""
        delay_s = RETRY_FIRST_S
        while True:
            await self._ownership.valid(partitions, under)
            try:
                return await call()
            except StoreUnavailable as error:
                log.warning("commit.waits", error=str(error))
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _after(self, works: Sequence[Work], verdicts: Sequence[Verdict], under: Mapping[int, Held]) -> None:
        fenced: set[int] = set()
        self._metrics.turned(works, verdicts, self._clock())
        for work, verdict in zip(works, verdicts, strict=True):
            match verdict.status:
                case "committed":
                    await self._committed(work, verdict, under)
                case "known":
                    await self._known(work, verdict.known)
                case "expired":
                    self._again(replace(work, commands=expired_in(work.commands, verdict.known)), ())
                case "conflict":
                    self._again(work, ())
                case "fenced":
                    fenced.add(work.unit.partition)
                    self._again(work, ())
        if self._tracer.enabled:
            stood = [w for w, v in zip(works, verdicts, strict=True) if v.status == "committed"]
            record_works(self._tracer, stood, self._bus.root, self._clock())
        # Also for known units: this very batch may have been committed before its connection was lost.
        stand = [w.unit for w, v in zip(works, verdicts, strict=True) if v.status in ("committed", "known")]
        rings, effects = bells(stand)
        await self._until_stored(lambda: self.asks.committed(stand))
        if rings:
            await self._bus.ring(list(rings), rings)
        if effects:
            await self._bus.ring_effects(list(effects), effects)
        if any(unit.timers for unit in stand):
            self._timers_changed()
        await self.poison.tidy()
        self._ownership.lose(fenced)

    async def _committed(self, work: Work, verdict: Verdict, under: Mapping[int, Held]) -> None:
        partition = work.unit.partition
        ours = self._ownership.held.get(partition) is under[partition]
        if work.turn is not None and work.unit.events and ours:
            written = sum(len(event.body) for event in work.unit.events)
            self._actors.remember(work.address, Loaded(work.turn.state, work.turn.version), written)
        self._settle(work.commands)
        self._mailboxes.done(work.address, work.commands)
        for row, pending in zip(work.unit.settled, work.commands, strict=True):
            if row.outcome == "refused":
                log.info("commit.refused", **pending.about, detail=row.detail)
        await self.poison.committed(work)
        places = {pending.id: pending for pending in work.commands if pending.envelope.reply_to}
        for inbox, reply in work.answers(verdict.first_position):
            await self._bus.reply(inbox, encode(reply), places[reply.id].traceparent)

    async def _known(self, work: Work, ids: Sequence[str]) -> None:
        """Some commands were settled before (a repetition, or this very batch before the connection was lost)."""
        known = [pending for pending in work.commands if pending.id in ids]
        await self._until_stored(lambda: self.poison.known(work))
        self._settle(known)
        self._again(work, known)
        asked = {p.id: p for p in known if p.envelope.reply_to}
        if asked:
            kind = self._kinds.get(work.address.kind)
            later = kind is not None and bool(kind.later)
            inboxes = {id_: pending.envelope.reply_to for id_, pending in asked.items()}
            told = await self._until_stored(lambda: self.asks.known(work.address.project, inboxes, later))
            for id_, reply in told.items():
                if reply is not None:
                    await self._bus.reply(inboxes[id_], reply, asked[id_].traceparent)

    def _again(self, work: Work, without: Sequence[Pending]) -> None:
        """The unit lost: forget the cached state and decide what is left of it anew, if it is ours still."""
        self._actors.drop(work.address)
        if work.unit.partition not in self._ownership.held:
            self._mailboxes.done(work.address, work.commands)
            return
        dropped = {id(pending) for pending in without}
        self._mailboxes.give_back(work.address, [p for p in work.commands if id(p) not in dropped])
        self._mailboxes.done(work.address, without)

    def _settle(self, commands: Sequence[Pending]) -> None:
        self.poison.settled(commands)
        for pending in commands:
            if pending.sequence:
                self._cursors.settle(partition_of(pending.address), pending.sequence, pending.generation)
