"""Forks in memory: another store in this process. Keeps the promises of `eventstore/forking.py`, but that nothing
survives the process."""

import re
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from eventstore.errors import StoreError
from eventstore.forking import (
    SCORE_MAX,
    STREAMS_MAX,
    Fork,
    ForkedStream,
    RecordedOutcome,
    Wanted,
    check_fork,
    missing,
    taken,
)
from eventstore.memory.dead import sent_again
from eventstore.memory.tables import EffectRow, Stream, Tables, TimerRow
from eventstore.records import NewSend, PendingSend, Recorded
from protocol.subjects import Address, partition_of

if TYPE_CHECKING:
    from eventstore.memory.store import MemoryStore

ORIGINAL = "troupe"
_OUTCOME = ":outcome"


class MemoryForks:
    """The forks of one store. `make` gives the store of a fork's tables; `family` holds the forks of a whole process by
    name."""

    def __init__(
        self, tables: Tables, now: Callable[[], datetime], make: "Callable[[Tables, MemoryForks], MemoryStore]"
    ) -> None:
        self._tables, self._now, self._make = tables, now, make
        self.family: dict[str, tuple[MemoryStore, Tables]] = {}

    @property
    def _name(self) -> str:
        return self._tables.fork.name if self._tables.fork else ORIGINAL

    @asynccontextmanager
    async def creating(self, position: int, name: str, live: bool = False) -> "AsyncGenerator[MemoryDraft]":
        await checkpoint()
        check_fork(position, self._tables.head, name)
        if name in self.family or name in (self._name, ORIGINAL):
            raise taken(name)
        at = next((link.at for link in self._tables.links if link.last_position >= max(position, 1)), self._now())
        fork = Fork(name, self._name, position, at, live, self._now())
        draft = MemoryDraft(_snapshot(self._tables), _forked(self._tables, fork), self._now())
        yield draft
        if name in self.family:
            raise taken(name)
        draft.settle()
        self.family[name] = (self._make(draft.tables, self), draft.tables)

    async def listed(self) -> list[Fork]:
        await checkpoint()
        return [tables.fork for _, (_, tables) in sorted(self.family.items()) if tables.fork is not None]

    async def drop(self, name: str) -> None:
        await checkpoint()
        if name == self._name:
            raise StoreError(f"cannot drop {name!r} from within: open the log that it was made from")
        _, tables = self._found(name)
        if any(p.owner and p.expires_at and p.expires_at > self._now() for p in tables.partitions.values()):
            raise StoreError(f"somebody is running on the fork {name!r}: stop that company first")
        del self.family[name]

    @asynccontextmanager
    async def opened(self, name: str) -> "AsyncGenerator[MemoryStore]":
        await checkpoint()
        yield self._found(name)[0]

    async def this(self) -> Fork | None:
        await checkpoint()
        return self._tables.fork

    async def resume(self) -> bool:
        await checkpoint()
        fork, now = self._tables.fork, self._now()
        if fork is None or fork.resumed_at is not None:
            return False
        self._tables.fork = replace(fork, resumed_at=now)
        for key, row in self._tables.timers.items():
            moved = replace(row.timer, due=row.timer.due + (now - fork.at))
            self._tables.timers[key] = replace(row, timer=moved)
        return True

    async def recorded(self, project: str, key: str) -> RecordedOutcome | None:
        await checkpoint()
        return self._tables.recorded.get((project, key))

    async def score(self, address: Address, after: int) -> Sequence[tuple[int, str]]:
        await checkpoint()
        return [entry for entry in self._tables.score.get(address, ()) if entry[0] > after][:SCORE_MAX]

    async def effects_open(self, kinds: Collection[str]) -> bool:
        await checkpoint()
        return any(row.effect.effect_kind in kinds for row in self._tables.effects.values())

    def _found(self, name: str) -> "tuple[MemoryStore, Tables]":
        if name not in self.family:
            raise missing(name)
        return self.family[name]


class MemoryDraft:
    """A fork that is not there yet. `origin` is the original as it was at the beginning."""

    def __init__(self, origin: Tables, tables: Tables, now: datetime) -> None:
        assert tables.fork is not None
        self.fork = tables.fork
        self.tables, self._origin, self._now = tables, origin, now
        self._sends: list[tuple[int, NewSend]] = []
        self._works: dict[tuple[str, str], bytes] = {}

    async def streams(self, page: int) -> Sequence[ForkedStream]:
        await checkpoint()
        every = [ForkedStream(a, self.tables.version(a)) for a, stream in self._origin.streams.items() if stream.fenced]
        return every[page * STREAMS_MAX :][:STREAMS_MAX]

    async def history(self, address: Address, after: int, limit: int) -> Sequence[Recorded]:
        await checkpoint()
        return self._origin.streams[address].events[after : after + limit]

    async def want(self, wanted: Wanted) -> None:
        await checkpoint()
        actor, tables = wanted.address, self.tables
        self._sends.extend(wanted.sends)
        for timer in wanted.timers:
            row = TimerRow(tables.next_id(), actor, partition_of(actor), timer)
            tables.timers[actor, timer.key] = row
        for effect in wanted.effects:
            tables.effects[actor.project, effect.key] = EffectRow(actor, effect, self._now)

    async def worked(self, project: str, works: Sequence[tuple[str, bytes]]) -> None:
        await checkpoint()
        self._works.update({(project, key): sha256 for key, sha256 in works})

    def settle(self) -> None:
        """Take out what the log shows to be settled, and outcomes of work nobody can name."""
        tables = self.tables
        kept = {(project, id_) for project, id_, outbox_id in tables.inbox if outbox_id}
        settled = kept | {(event.address.project, event.causation) for event in tables.events}
        for _, s in sorted(self._sends, key=lambda pair: pair[0]):
            if (s.to.project, s.id) not in settled:
                id_, written = tables.next_id(), (s.to, s.sender, s.type, s.body, s.at, s.correlation, s.causation)
                tables.send(PendingSend(id_, s.id, *written), s.partition, self._now)
        for project, key in list(tables.effects):
            if (project, key + _OUTCOME) in settled:
                del tables.effects[project, key]
        for (address, key), row in list(tables.timers.items()):
            if self._broke_its_actor(address, key, row.timer.due):
                del tables.timers[address, key]
        for found, outcome in list(tables.recorded.items()):
            work = outcome.work or self._works.get(found, b"")
            tables.recorded[found] = replace(outcome, work=work)
            if not work:
                del tables.recorded[found]

    def _broke_its_actor(self, address: Address, key: str, due: datetime) -> bool:
        """Such a firing left no event in its actor's stream; the inbox names it."""
        firing = re.compile(rf"timer:{re.escape(key)}:[0-9]+")
        return any(
            outbox_id and row.address == address and firing.fullmatch(id_) and due <= self.tables.kept[found].at
            for found, row in self.tables.inbox.items()
            for _, id_, outbox_id in [found]
        )


def _snapshot(origin: Tables) -> Tables:
    """The original as it is now, to be read while it goes on."""
    streams = {address: Stream(stream.fenced, list(stream.events)) for address, stream in origin.streams.items()}
    return replace(origin, events=list(origin.events), streams=streams)


def _forked(origin: Tables, fork: Fork) -> Tables:
    """The log up to the position, with what was settled by then."""
    tables = Tables(events=origin.events[: fork.position], blobs=dict(origin.blobs), last_id=origin.last_id, fork=fork)
    for event in tables.events:
        fenced = origin.streams[event.address].fenced
        tables.streams.setdefault(event.address, Stream(fenced)).events.append(event)
    tables.links = [link for link in origin.links if link.last_position <= fork.position]
    for found, row in origin.inbox.items():
        kept = origin.kept[found]
        if 0 < row.first_position <= fork.position:
            tables.inbox[found] = replace(row, events=min(row.events, fork.position - row.first_position + 1))
        elif row.first_position == 0 and kept.link <= len(tables.links):
            tables.inbox[found] = row
        else:
            continue
        tables.kept[found] = kept
    if len(tables.links) < len(origin.links):  # The part of a commit that was cut.
        whole = tables.links[-1].last_position if tables.links else 0
        tables.seal(whole, origin.links[len(tables.links)].at)
    tables.recorded = _outcomes(origin, tables)
    _park(origin, tables, fork.position)
    for address, stream in origin.streams.items():
        version = tables.version(address)
        if stream.fenced and stream.version > version:
            tables.score[address] = [(event.version, event.causation) for event in stream.events[version:]]
    return tables


def _park(origin: Tables, tables: Tables, position: int) -> None:
    """Who was parked by then, with what was kept; and of those who went on by then, what was not decided yet."""
    tables.parked = {address: row for address, row in origin.parked.items() if row.position <= position}
    tables.parked_commands = {number: row for number, row in origin.parked_commands.items() if row.position <= position}
    for past in origin.past_parkings:
        if past.until <= position:
            tables.past_parkings.append(past)
            sent = [(row, id_) for row, id_ in past.commands.values() if id_]
            for row, id_ in sent:
                if (past.address.project, row.waiting.id, id_) not in tables.inbox:
                    again = sent_again(row.waiting, past.reference, id_)
                    tables.send(again, row.partition, tables.now())
        elif past.row.position <= position:
            tables.parked[past.address] = past.row
            tables.parked_commands.update(
                (number, row) for number, (row, _) in past.commands.items() if row.position <= position
            )


def _outcomes(origin: Tables, tables: Tables) -> dict[tuple[str, str], RecordedOutcome]:
    """What effects came to and was not settled by the position: known from before, on its way, or heard later."""
    outcomes = dict(origin.recorded)
    for waiting in origin.outbox.values():
        send = waiting.send
        if send.outcome_of:
            outcomes[send.to.project, send.outcome_of] = RecordedOutcome(b"", send.type, send.body)
    for found, row in origin.inbox.items():
        project, id_, outbox_id = found
        if outbox_id and id_.endswith(_OUTCOME) and found not in tables.inbox:
            outcomes[project, id_.removesuffix(_OUTCOME)] = RecordedOutcome(b"", row.type, origin.kept[found].body)
    return outcomes
