"""The usual commit: every unit is written as if it had won, in one call of `commit_optimistic` (0011_carried.sql).

If one had lost, nothing has happened, and `commit_batch` judges the same batch. So this page decides nothing: it only
leaves out what judging costs. It knows the ids of the streams and type tags that this process has met; ids never
change, and the version of each stream is checked in the commit.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from eventstore.postgres.batch import caused, chain_digest, columns, traced
from eventstore.postgres.connections import Connection
from eventstore.postgres.packing import Unpackable, alike, alike_numbers, numbers, pieces, texts
from eventstore.postgres.statements import statement
from eventstore.records import Batch, Fence, NewEvent, NewSend, Settled, Unit, Verdict
from protocol.subjects import Address

STREAMS_KNOWN_MAX = 200_000  # About 40 MB; beyond it the ones met first are forgotten and looked up again.
_NO_EVENTS = Verdict("committed")

# A row of the inbox: the command, where its first event stands among all (from 1; 0: none), and how many it caused.
Kept = tuple[Address, Settled, int, int]


class OptimisticCommits:
    """Commits whole batches, or nothing."""

    def __init__(self) -> None:
        self._streams: dict[Address, int] = {}
        self._types: dict[str, int] = {}

    async def commit(self, connection: Connection, batch: Batch) -> tuple[Verdict, ...] | None:
        """The verdicts, all `committed`; None when nothing was written because a unit may lose."""
        if not _may_all_win(batch):
            return None
        deadlines = [c.deadline for u in batch.units for c in u.settled if c.deadline is not None]
        until = min(deadlines, default=None)
        head = await self.write(connection, batch.fences, batch.units, _kept(batch.units), True, until)
        return None if head is None else _verdicts(batch.units, head)

    async def write(
        self,
        connection: Connection,
        fences: Sequence[Fence],
        units: Sequence[Unit],
        kept: Sequence[Kept],
        owned: bool,
        until: datetime | None = None,
    ) -> int | None:
        """The head before the units' events, once everything is written; None when nothing is.

        `kept` are the rows of the inbox. `owned`: written by the actors' owner; otherwise only to streams that belong
        to no actor. `until`: it is right only until then.
        """
        await self._learn(connection, units)
        created: list[Address] = []
        arguments = self._arguments(fences, units, kept, created)
        if arguments is None:
            return None
        name = "commit_optimistic"
        if any(unit.traces for unit in units):
            name, arguments = "commit_optimistic_traced", [*arguments, *traced(units)[1:]]
        answer: list[int] | None = await connection.fetchval(statement(name), until, owned, *arguments)
        if answer is None:
            return None
        self._remember(zip(created, answer[1:], strict=True))
        return answer[0]

    async def _learn(self, connection: Connection, units: Sequence[Unit]) -> None:
        """Look up the streams and tags that are new to this process."""
        streams, types = self._streams, self._types
        addresses = [u.address for u in units if u.expected and u.address not in streams]
        if addresses:
            asked = columns(3, [(a.project, a.kind, a.name) for a in addresses])
            rows = await connection.fetch(statement("stream_numbers"), *asked)
            self._remember((Address(row["project"], row["kind"], row["name"]), row["id"]) for row in rows)
        tags = {e.type for u in units for e in u.events}.difference(types)
        if tags:
            for row in await connection.fetch(statement("type_numbers"), list(tags)):
                types[row["tag"]] = row["id"]

    def _remember(self, streams: Any) -> None:
        self._streams.update(streams)
        if len(self._streams) > STREAMS_KNOWN_MAX:
            for address in list(self._streams)[: STREAMS_KNOWN_MAX // 4]:
                del self._streams[address]

    def _arguments(
        self, fences: Sequence[Fence], units: Sequence[Unit], kept: Sequence[Kept], created: list[Address]
    ) -> list[Any] | None:
        """The arguments from the third of sql/commit_optimistic.sql on; `created` takes the new streams. None: a stream
        or a tag that should be there is not, or a text that cannot be packed."""
        try:
            streams = self._stream_arguments(units, created)
            if streams is None:
                return None
            return [
                *columns(5, [(f.partition, f.epoch, f.owner, f.cursor, f.witness) for f in fences]),
                *streams,
                *_inbox_arguments(kept),
                [c.outbox_id for u in units for c in u.settled if c.outbox_id],
                *_following(units),
                chain_digest(units),
            ]
        except Unpackable:
            return None

    def _stream_arguments(self, units: Sequence[Unit], created: list[Address]) -> list[Any] | None:
        """Which streams move from which version, and their events."""
        ids: list[int] = []
        expected: list[int] = []
        counts: list[int] = []
        new_counts: list[int] = []
        e_stream: list[int] = []
        e_version: list[int] = []
        for u in units:
            if not u.events:
                continue
            version, count = u.expected, len(u.events)
            assert version is not None, "such a batch is judged, not committed here"
            if version == 0:
                created.append(u.address)
                new_counts.append(count)
                stream = -len(created)
            else:
                stream = self._streams.get(u.address, 0)
                if not stream:
                    return None
                ids.append(stream)
                expected.append(version)
                counts.append(count)
            if count == 1:
                e_stream.append(stream)
                e_version.append(version + 1)
            else:
                e_stream.extend([stream] * count)
                e_version.extend(range(version + 1, version + 1 + count))
        events = self._event_arguments([e for u in units for e in u.events], e_stream, e_version)
        if events is None:
            return None
        return [
            numbers(ids),
            numbers(expected),
            alike_numbers(counts),
            len(created),
            alike([a.project for a in created]),
            alike([a.kind for a in created]),
            texts([a.name for a in created]),
            alike_numbers(new_counts),
            *events,
        ]

    def _event_arguments(
        self, events: Sequence[NewEvent], streams: Sequence[int], versions: Sequence[int]
    ) -> list[Any] | None:
        types = self._types
        if any(e.type not in types for e in events):
            return None
        content, starts, lengths = pieces([e.body for e in events])
        return [
            len(events),
            numbers(streams),
            alike_numbers(versions),
            alike_numbers([types[e.type] for e in events]),
            [e.at for e in events],
            texts([e.correlation for e in events]),
            texts([e.causation for e in events]),
            content,
            starts,
            alike_numbers(lengths),
        ]


def _may_all_win(batch: Batch) -> bool:
    """Whether the batch is one that `commit_optimistic` can check by what its own statements report."""
    vouched = {fence.partition for fence in batch.fences}
    return all(
        u.partition in vouched
        and (u.expected is not None) == bool(u.events)
        and all(c.keep or c.outbox_id for c in u.settled)
        and not (u.parks or u.waits)
        for u in batch.units
    )


def _plain(unit: Unit) -> bool:
    """One command that is kept and caused every event: most units are so."""
    settled, events = unit.settled, unit.events
    return len(settled) == 1 and settled[0].keep and all(e.causation == settled[0].id for e in events)


def _kept(units: Sequence[Unit]) -> list[Kept]:
    rows: list[Kept] = []
    before = 0
    for u in units:
        if _plain(u):
            rows.append((u.address, u.settled[0], before + 1 if u.events else 0, len(u.events)))
        else:
            by_command = caused(u.events)
            for c in u.settled:
                if c.keep:
                    first, count = by_command.get(c.id, (-before - 1, 0))
                    rows.append((u.address, c, before + first + 1, count))
        before += len(u.events)
    return rows


def _inbox_arguments(kept: Sequence[Kept]) -> list[Any]:
    content, starts, _ = pieces([c.headers + c.body for _, c, _, _ in kept])
    return [
        len(kept),
        alike([a.project for a, _, _, _ in kept]),
        texts([c.id for _, c, _, _ in kept]),
        alike_numbers([c.outbox_id for _, c, _, _ in kept]),
        alike([a.kind for a, _, _, _ in kept]),
        texts([a.name for a, _, _, _ in kept]),
        alike([c.type for _, c, _, _ in kept]),
        numbers([c.sequence for _, c, _, _ in kept]),
        alike([c.outcome for _, c, _, _ in kept]),
        alike([c.detail for _, c, _, _ in kept]),
        numbers([first for _, _, first, _ in kept]),
        alike_numbers([count for _, _, _, count in kept]),
        content,
        starts,
        numbers([len(c.headers) for _, c, _, _ in kept]),
        numbers([len(c.body) for _, c, _, _ in kept]),
    ]


def _following(units: Sequence[Unit]) -> list[Any]:
    """The columns of sends, cancels, timers, effects, asks and answers."""
    timers = [(u.address, u.partition, t) for u in units for t in u.timers]
    effects = [(u.address, f) for u in units for f in u.effects]
    asks = [(u.address, u.partition, a) for u in units for a in u.asks]
    return [
        *_send_arguments([(u.address.project, s) for u in units for s in u.sends]),
        *columns(4, [(u.address.project, u.address.kind, u.address.name, key) for u in units for key in u.cancels]),
        *columns(
            10,
            [
                (a.project, a.kind, a.name, partition, t.key, t.due, t.type, t.correlation, t.causation, t.body)
                for a, partition, t in timers
            ],
        ),
        *columns(
            10,
            [
                (
                    a.project, a.kind, a.name, f.key, f.effect_kind, f.safety, f.at, f.correlation, f.causation,
                    f.body,
                )
                for a, f in effects
            ],
        ),
        *columns(
            8,
            [
                (a.project, ask.id, a.kind, a.name, partition, ask.reply_to, ask.deadline, ask.correlation)
                for a, partition, ask in asks
            ],
        ),
        *columns(3, [(u.address.project, answer.ask, answer.body) for u in units for answer in u.answers]),
    ]  # fmt: skip


def _send_arguments(sends: Sequence[tuple[str, NewSend]]) -> list[Any]:
    """Each with its project."""
    content, starts, lengths = pieces([s.body for _, s in sends])
    return [
        len(sends),
        alike([project for project, _ in sends]),
        alike([s.to.kind for _, s in sends]),
        texts([s.to.name for _, s in sends]),
        numbers([s.partition for _, s in sends]),
        texts([s.id for _, s in sends]),
        texts([s.sender for _, s in sends]),
        alike([s.type for _, s in sends]),
        [s.at for _, s in sends],
        texts([s.correlation for _, s in sends]),
        texts([s.causation for _, s in sends]),
        content,
        starts,
        alike_numbers(lengths),
    ]


def _verdicts(units: Sequence[Unit], head: int) -> tuple[Verdict, ...]:
    verdicts: list[Verdict] = []
    for u in units:
        verdicts.append(Verdict("committed", head + 1) if u.events else _NO_EVENTS)
        head += len(u.events)
    return tuple(verdicts)
