"""Parked actors, dead letters and attempts in memory: keeps the promises of `eventstore/dead.py`."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
from anyio.lowlevel import checkpoint

from eventstore.dead import (
    PAGE_ROWS_MAX,
    DeadLetter,
    Kept,
    ParkedActor,
    Released,
    Suspect,
    keeper_of,
    quarantined,
    release_event,
)
from eventstore.memory.tables import Partition, PastParking, Tables
from eventstore.records import NewEvent, PendingSend, Waiting
from protocol.codec import encode
from protocol.message import tag_of
from protocol.runtime import CommandQuarantined
from protocol.subjects import Address, partition_of

_headers = msgspec.json.Decoder(dict[str, str])


class MemoryDead:
    """What broke, in the tables of one store. `ring` is told the head before what it writes."""

    def __init__(self, tables: Tables, now: Callable[[], datetime], ring: Callable[[int], None]) -> None:
        self._tables, self._now, self._ring = tables, now, ring

    async def parked(
        self, project: str, kind: str | None = None, after: Address | None = None, limit: int = PAGE_ROWS_MAX
    ) -> list[ParkedActor]:
        await checkpoint()
        wanted = sorted(
            address
            for address in self._tables.parked
            if address.project == project
            and kind in (None, address.kind)
            and (after is None or (address.kind, address.name) > (after.kind, after.name))
        )
        return [self._actor(address) for address in wanted[:limit]]

    async def parked_actor(self, address: Address) -> ParkedActor | None:
        await checkpoint()
        return self._actor(address) if address in self._tables.parked else None

    async def parked_in(self, partitions: Collection[int]) -> list[ParkedActor]:
        await checkpoint()
        found = [address for address, row in self._tables.parked.items() if row.partition in partitions]
        return [replace(self._actor(address), sends=0) for address in found]

    async def kept(self, address: Address, after: int = 0, limit: int = PAGE_ROWS_MAX) -> list[Kept]:
        await checkpoint()
        rows = self._kept(address)
        now = self._now()
        return [
            Kept(number, command, number == rows[0][0], command.deadline is not None and command.deadline < now)
            for number, command in rows
            if number > after
        ][:limit]

    async def letters(
        self, project: str, kind: str | None = None, before: int | None = None, limit: int = PAGE_ROWS_MAX
    ) -> list[DeadLetter]:
        await checkpoint()
        tag = tag_of(CommandQuarantined)
        found = [
            quarantined(project, event.position, event.at, event.body)
            for event in reversed(self._tables.events)
            if event.type == tag
            and (event.address.project, event.address.kind) == (project, "runtime")
            and (before is None or event.position < before)
        ]
        return [letter for letter in found if kind in (None, letter.address.kind)][:limit]

    async def retry(self, address: Address, late: bool = False, by: str = "") -> Released | None:
        await checkpoint()
        return self._release(address, True, late, by)

    async def drop(self, address: Address, late: bool = False, by: str = "") -> Released | None:
        await checkpoint()
        return self._release(address, False, late, by)

    def _release(self, address: Address, again: bool, late: bool, by: str) -> Released | None:
        tables, now, before = self._tables, self._now(), self._tables.head
        if address not in tables.parked:
            return None
        rows = self._kept(address)
        killer = rows[0][1].id
        event = release_event(address, killer, again, late, by)
        keeper, partition = keeper_of(address), partition_of(address)
        tables.write(keeper, [NewEvent(tag_of(event), encode(event), now, address.name, killer)], fenced=True)
        tables.seal(before)
        reference = keeper.reference(tables.version(keeper))
        wanted = [command for number, command in rows if again or number != rows[0][0]]
        lapsed = [c for c in wanted if not late and c.deadline is not None and c.deadline < now]
        again_first = [c for c in wanted[:1] if again and c not in lapsed]
        later = [c for c in wanted[1 if again else 0 :] if c not in lapsed]
        mail = [row.send for row in tables.outbox.values() if row.send.to == address]
        parking = tables.parked.pop(address)
        kept = {number: tables.parked_commands.pop(number) for number, _ in rows}
        for send in mail:
            del tables.outbox[send.outbox_id]
        sends = [sent_again(command, reference) for command in again_first] + mail
        sends += [sent_again(command, reference) for command in later]
        ids: dict[str, int] = {}
        for send in sends:
            ids[send.id] = id_ = tables.next_id()
            tables.send(replace(send, outbox_id=id_), partition, now)
        past = {number: (row, ids.get(row.waiting.id, 0)) for number, row in kept.items()}
        tables.past_parkings.append(PastParking(address, parking, past, before + 1, reference))
        row = tables.partitions.setdefault(partition, Partition())
        row.epoch, row.owner, row.expires_at = row.epoch + 1, None, None
        self._ring(before)
        return Released(reference, before + 1, len(sends), len(lapsed))

    async def attempts(self, partitions: Collection[int]) -> dict[Suspect, int]:
        await checkpoint()
        return {s: count for s, count in self._tables.attempts.items() if s.partition in partitions}

    async def attempt(self, suspects: Collection[Suspect]) -> None:
        await checkpoint()
        for suspect in set(suspects):
            self._tables.attempts[suspect] = self._tables.attempts.get(suspect, 0) + 1

    async def forget_attempts(self, suspects: Collection[Suspect]) -> None:
        await checkpoint()
        for suspect in suspects:
            self._tables.attempts.pop(suspect, None)

    async def clear_attempts(self, partitions: Collection[int]) -> None:
        await checkpoint()
        for suspect in [suspect for suspect in self._tables.attempts if suspect.partition in partitions]:
            del self._tables.attempts[suspect]

    async def mail_upto(self, partitions: Collection[int]) -> dict[int, int]:
        await checkpoint()
        return {partition: id_ for id_, partition in self._mail() if partition in partitions}

    async def mail_waits(self, upto: Sequence[tuple[int, int]]) -> set[int]:
        await checkpoint()
        bounds = dict(upto)
        return {partition for id_, partition in self._mail() if id_ <= bounds.get(partition, -1)}

    def _mail(self) -> list[tuple[int, int]]:
        """Outbox rows of actors that are not parked, with their partitions, in the order of their ids."""
        rows = sorted(self._tables.outbox.items())
        return [(id_, row.partition) for id_, row in rows if row.send.to not in self._tables.parked]

    def _kept(self, address: Address) -> list[tuple[int, Waiting]]:
        rows = sorted(self._tables.parked_commands.items())
        return [(number, row.waiting) for number, row in rows if row.waiting.address == address]

    def _actor(self, address: Address) -> ParkedActor:
        row, kept = self._tables.parked[address], self._kept(address)
        sends = sum(row.send.to == address for row in self._tables.outbox.values())
        killer = kept[0][1].id if kept else ""
        return ParkedActor(address, row.reason, row.at, killer, max(0, len(kept) - 1), sends)


def sent_again(command: Waiting, reference: str, outbox_id: int = 0) -> PendingSend:
    """A command that waited for a parked actor, as a send; `reference` is the event that let the actor go on."""
    headers = _headers.decode(command.headers)
    sender = headers.get("Troupe-Sender") or headers.get("ce-source") or ""
    return PendingSend(
        outbox_id,
        command.id,
        command.address,
        sender,
        command.type,
        command.body,
        command.at,
        command.correlation,
        reference,
    )
