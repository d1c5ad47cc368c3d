"""Commands that may kill their process: who takes over from a dead one finds the killer, and nobody else pays for it.

When a partition is gained whose owner did not let it go, all that waited in it at that moment is suspected: any of it
may be what killed that process. Before a suspect is run, its attempt is counted in the store. Those that were never
counted run as ever, many in one commit; should one of them kill this process too, all of them are counted by then, and
from then on each of them runs in a commit of its own. So the killer alone is tried again and again, and past
ATTEMPTS_MAX it is quarantined unheard, its actor parked. What is settled is no suspect any more, and a partition whose
old commands are all settled is like any other: on the usual path nothing is counted.

An attempt is counted once in a process's time with a partition, however often it is decided again there. A partition
that is handed over cleanly is suspected as before, so that workers that come and go hide no killer. A process that died
of something else (a signal, its machine) leaves counts too; they go when what they count is settled.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from actors.runtime.bells import bell_of
from actors.runtime.cursor import Cursors
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.ports import Bus, BusUnavailable
from actors.runtime.turn import Pending
from eventstore.dead import Suspect
from eventstore.store import EventStore, Lease, StoreUnavailable
from protocol.subjects import Address, partition_of

ATTEMPTS_MAX = 3

log = structlog.get_logger("suspects")


@dataclass(slots=True)
class _Case:
    """What waited in a partition when it was gained: commands and outbox rows up to these. `counts` are the attempts of
    those before; `begun` are counted by this process, and `over` settled."""

    sequence: int
    outbox: int
    generation: int
    counts: dict[Suspect, int]
    begun: set[Suspect] = field(default_factory=set[Suspect])
    over: set[Suspect] = field(default_factory=set[Suspect])
    cursor: int = -1  # At the last review.


class Suspects:
    """One per process. `any` says whether there are some at all."""

    def __init__(self, store: EventStore, bus: Bus, cursors: Cursors, metrics: RuntimeMetrics | None = None) -> None:
        self._store, self._bus, self._cursors = store, bus, cursors
        self._metrics = metrics or RuntimeMetrics()
        self._unclean: set[int] = set()  # Gained, and not looked at yet.
        self._cases: dict[int, _Case] = {}
        self._single = True  # When there was a choice last, one suspect had its turn alone.
        self.any = False

    def gained(self, leases: Sequence[Lease]) -> None:
        """These partitions are ours."""
        self._unclean.update(lease.partition for lease in leases if not lease.clean)

    def lost(self, partitions: Collection[int]) -> None:
        """These are not."""
        self._unclean.difference_update(partitions)
        for partition in partitions:
            self._cases.pop(partition, None)
        self.any = bool(self._cases)

    async def look(self, partitions: Collection[int]) -> None:
        """Find out what is suspected in partitions just gained, before anything is decided there. StoreUnavailable,
        BusUnavailable."""
        counted = await self._store.dead.attempts(partitions)
        # Who was handed one cleanly goes on with what its former owner suspected.
        self._unclean.update(suspect.partition for suspect in counted)
        unclean = self._unclean.intersection(partitions)
        if not unclean:
            return
        last, upto = await self._bus.last_sequence(), await self._store.dead.mail_upto(unclean)
        for partition in unclean & self._unclean:  # None that was lost meanwhile.
            counts = {suspect: count for suspect, count in counted.items() if suspect.partition == partition}
            self._cases[partition] = _Case(last, upto.get(partition, 0), self._cursors.generation, counts)
        self._unclean -= unclean
        self.any = bool(self._cases)
        log.info("suspects.unclean", partitions=len(unclean), counted=len(counted))

    def planned(self, addresses: Sequence[Address], mailboxes: Mailboxes) -> tuple[Sequence[Address], bool]:
        """Which of the actors that are ready have their turn now, and whether it is one suspect alone."""
        alone = [address for address in addresses if self._counted(mailboxes.next(address))]
        together = [address for address in addresses if address not in set(alone)] if alone else addresses
        if alone and together:
            self._single = not self._single
        if not alone or (together and not self._single):
            return together, False
        return (min(alone, key=lambda address: self._counted(mailboxes.next(address))),), True

    def together(self, commands: Sequence[Pending]) -> int:
        """How many of one actor's commands, in order, may run with others: those before one that must run alone."""
        return next((n for n, pending in enumerate(commands) if self._counted(pending)), len(commands))

    def condemned(self, pending: Pending) -> str:
        """What is said of a command that was tried often enough ("": it may be tried)."""
        count = self._counted(pending)
        return f"killed its process {count} times" if count >= ATTEMPTS_MAX else ""

    async def begin(self, commands: Iterable[Pending]) -> None:
        """Count the attempts that are about to be made. StoreUnavailable."""
        starting: list[Suspect] = []
        for pending in commands:
            suspect, case = self._suspect(pending)
            if case is not None and suspect not in case.begun and self._counted(pending) < ATTEMPTS_MAX:
                starting.append(suspect)
        if starting:
            await self._store.dead.attempt(starting)
            self._metrics.attempts_counted.inc(len(starting))
            for suspect in starting:
                if (case := self._cases.get(suspect.partition)) is not None:
                    case.begun.add(suspect)

    def settled(self, commands: Iterable[Pending]) -> None:
        """The fate of these is committed."""
        for pending in commands:
            suspect, case = self._suspect(pending)
            if case is not None and (suspect in case.begun or suspect in case.counts):
                case.begun.discard(suspect)
                case.counts.pop(suspect, None)
                case.over.add(suspect)

    async def tidy(self) -> None:
        """Take the counts of what is settled away. A count that stays says nothing about anything that is to come."""
        over = [suspect for case in self._cases.values() for suspect in case.over]
        if over:
            try:
                await self._store.dead.forget_attempts(over)
            except StoreUnavailable as error:
                log.warning("suspects.tidy_waits", error=str(error))
                return
            for suspect in over:
                if (case := self._cases.get(suspect.partition)) is not None:
                    case.over.discard(suspect)

    async def review(self) -> None:
        """See which partitions are like any other again."""
        try:
            await self._review()
        except (StoreUnavailable, BusUnavailable) as error:
            log.warning("suspects.review_waits", error=str(error))

    async def _review(self) -> None:
        stored = self._cursors.stored()
        if any(case.generation != self._cursors.generation for case in self._cases.values()):
            last = await self._bus.last_sequence()  # The stream may have been made anew.
            for case in self._cases.values():
                case.sequence, case.generation = min(case.sequence, last), self._cursors.generation
        reached: list[tuple[int, int]] = []
        resting: list[Address] = []
        for partition, case in self._cases.items():
            cursor = stored[partition][0] if partition in stored else 0
            if cursor >= case.sequence:
                reached.append((partition, case.outbox))
            elif cursor == case.cursor:
                resting.append(bell_of(partition))  # The last message was another partition's: move the cursor past it.
            case.cursor = cursor
        if resting:
            await self._bus.ring(resting)
        if reached:
            waits = await self._store.dead.mail_waits(reached)
            over = {partition for partition, _ in reached if partition not in waits} & self._cases.keys()
            if over:
                await self._store.dead.clear_attempts(over)
                self.lost(over)
                log.info("suspects.over", partitions=len(over))

    def _counted(self, pending: Pending | None) -> int:
        """How often that command was begun before this process had its partition."""
        if pending is None:
            return 0
        suspect, case = self._suspect(pending)
        return case.counts.get(suspect, 0) if case is not None else 0

    def _suspect(self, pending: Pending) -> "tuple[Suspect, _Case | None]":
        """The command by its name in the store, and the case that it belongs to (None: nobody suspects it)."""
        partition = partition_of(pending.address)
        case = self._cases.get(partition)
        if case is not None:
            inside = 0 < pending.outbox_id <= case.outbox
            if not inside and not (pending.outbox_id == 0 and pending.sequence <= case.sequence):
                case = None
        return Suspect(partition, pending.address.project, pending.id, pending.outbox_id), case
