"""Poison in one process: what breaks its actor, or the whole process, is set aside, and nobody else notices.

A command whose turn breaks is quarantined: an event in the stream of its partition's keeper, its actor parked by the
same commit (parking.py). One that kills the process is found by who takes over (suspects.py). What must be known of
partitions before anything is decided in them is learned when they are gained: who is parked there, and what is
suspected. An operator's `troupe dead retry` or `drop` ends the lease of the partition, and with it all that was known
here; so no commit rests on an older view, and the next owner learns anew.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

import structlog

from actors.runtime.cursor import Cursors
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.parking import WAITING_MAX, kept
from actors.runtime.ports import Bus
from actors.runtime.supervision import Troubles
from actors.runtime.suspects import Suspects
from actors.runtime.turn import Pending
from actors.runtime.work import Work, quarantine
from eventstore.store import EventStore, InvalidUnit
from protocol.subjects import Address

log = structlog.get_logger("poison")


class Poison:
    """One per process. `forget` drops what is cached of an actor."""

    def __init__(
        self,
        store: EventStore,
        bus: Bus,
        mailboxes: Mailboxes,
        cursors: Cursors,
        metrics: RuntimeMetrics,
        forget: Callable[[Address], None],
    ) -> None:
        self._store, self._bus, self._mailboxes = store, bus, mailboxes
        self._forget = forget
        metrics.actors_parked.set_function(lambda: mailboxes.parked_count)
        self._troubles = Troubles(metrics)
        self.suspects = Suspects(store, bus, cursors, metrics)

    async def learn(self, partitions: Collection[int]) -> None:
        """These were gained: who is parked in them, and what may kill this process. StoreUnavailable,
        BusUnavailable."""
        parked = await self._store.dead.parked_in(partitions)
        self._mailboxes.unpark(partitions)
        for actor in parked:
            self._mailboxes.park(actor.address, actor.reason, actor.commands)
        await self.suspects.look(partitions)

    async def review(self) -> None:
        """Whether what was suspected, or too often broken, is so still."""
        self._troubles.look()
        if self.suspects.any:
            await self.suspects.review()

    def take(self, addresses: Sequence[Address], limit: int) -> dict[Address, list[Pending]]:
        """What the actors that are ready decide next, at most `limit` commands each. Of what may kill this process one
        command alone."""
        if not self.suspects.any:
            return {address: self._mailboxes.take(address, limit) for address in addresses}
        chosen, alone = self.suspects.planned(addresses, self._mailboxes)
        taken = {address: self._mailboxes.take(address, 1 if alone else limit) for address in chosen}
        for address, commands in () if alone else taken.items():
            together = self.suspects.together(commands)
            self._mailboxes.give_back(address, commands[together:])
            taken[address] = commands[:together]
        return taken

    async def begin(self, taken: Iterable[Sequence[Pending]]) -> None:
        """These are about to be decided. StoreUnavailable."""
        if self.suspects.any:
            await self.suspects.begin([pending for commands in taken for pending in commands])

    def bars(self, address: Address, commands: Sequence[Pending]) -> bool:
        """Must that actor not even be brought to life for these?"""
        condemned = self.suspects.any and commands and self.suspects.condemned(commands[0])
        return bool(condemned or self._mailboxes.parked(address))

    def instead(self, address: Address, commands: list[Pending]) -> list[Work]:
        """What is to be committed instead of a turn of that actor; empty: it has its turn."""
        room = self._mailboxes.kept(address)
        if room is not None:
            return [Work(kept(commands, self._mailboxes.parked(address), WAITING_MAX - room), commands)]
        if self.suspects.any and (error := self.suspects.condemned(commands[0])):
            self._mailboxes.give_back(address, commands[1:])
            return [quarantine(commands[0], error)]
        return []

    def cut_out(
        self, works: list[Work], error: InvalidUnit, decide: Callable[[Address, list[Pending]], list[Work]]
    ) -> list[Work]:
        """No store can hold that unit: alone, its commands show which of them it is, and that one is quarantined."""
        bad = works[error.index]
        if bad.error:
            raise error
        first, *rest = bad.commands
        log.error("poison.invalid_unit", **first.about, commands=len(bad.commands), error=str(error))
        self._mailboxes.give_back(bad.address, rest)
        instead = decide(bad.address, [first]) if rest else [quarantine(first, str(error))]
        return [*works[: error.index], *instead, *works[error.index + 1 :]]

    async def committed(self, work: Work) -> None:
        """A unit stands in the store: what was quarantined with it is told, and its actor left alone."""
        if not work.error:
            if work.unit.waits:
                self._mailboxes.keep(work.address, len(work.unit.waits))
            return
        killer = work.commands[0]
        log.error("poison.quarantined", **killer.about, error=work.error)
        self._park(killer.address, work.error)
        self._troubles.note(killer.address.kind)
        headers = {"Troupe-Error": work.error, "ce-id": killer.id, "traceparent": killer.traceparent}
        await self._bus.bury(killer.address, killer.body, headers)

    async def known(self, work: Work) -> None:
        """A unit was settled before; if it is a quarantine, perhaps by this very batch. StoreUnavailable."""
        parked = await self._store.dead.parked_actor(work.address) if work.error else None
        if parked is not None:
            self._park(parked.address, parked.reason)

    def settled(self, commands: Sequence[Pending]) -> None:
        """The fate of these is committed."""
        if self.suspects.any:
            self.suspects.settled(commands)

    async def tidy(self) -> None:
        """After a commit."""
        if self.suspects.any:
            await self.suspects.tidy()

    def _park(self, address: Address, reason: str) -> None:
        self._forget(address)
        self._mailboxes.park(address, reason, 0)
