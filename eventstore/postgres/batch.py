"""A batch as the arguments that `commit_batch` takes. Their order is that of sql/commit.sql."""

from collections.abc import Iterable, Sequence
from typing import Any

from eventstore import chain
from eventstore.records import Batch, NewEvent, Unit


def arguments(batch: Batch) -> list[Any]:
    """The arrays, and the chain's digest at the end; `unit` columns count units from 1."""
    units = list(enumerate(batch.units, start=1))
    tags = Numbers()
    rows_u, rows_c = _unit_rows(batch.units)
    return [
        *columns(5, [(f.partition, f.epoch, f.owner, f.cursor, f.witness) for f in batch.fences]),
        *columns(7, rows_u),
        *columns(3, shared(batch.units)),
        *columns(12, rows_c),
        tags.texts,
        *columns(
            6,
            [(n, tags.number(e.type), e.at, e.correlation, e.causation, e.body) for n, u in units for e in u.events],
        ),
        *columns(
            11,
            [
                (n, s.id, s.to.kind, s.to.name, s.partition, s.sender, s.type, s.at, s.correlation, s.causation, s.body)
                for n, u in units
                for s in u.sends
            ],
        ),
        *columns(
            7,
            [(n, t.key, t.due, t.type, t.correlation, t.causation, t.body) for n, u in units for t in u.timers],
        ),
        *columns(2, [(n, key) for n, u in units for key in u.cancels]),
        *columns(
            8,
            [
                (n, f.key, f.effect_kind, f.safety, f.at, f.correlation, f.causation, f.body)
                for n, u in units
                for f in u.effects
            ],
        ),
        chain_digest(batch.units),
    ]


def carried(batch: Batch) -> list[Any]:
    """What `commit_judged` takes beyond that: deadlines of commands, asks, answers, parked actors and what waits."""
    units = list(enumerate(batch.units, start=1))
    return [
        [c.deadline for u in batch.units for c in u.settled],
        *columns(5, [(n, a.id, a.reply_to, a.deadline, a.correlation) for n, u in units for a in u.asks]),
        *columns(3, [(n, a.ask, a.body) for n, u in units for a in u.answers]),
        *columns(4, [(n, p.address.kind, p.address.name, p.reason) for n, u in units for p in u.parks]),
        *columns(
            11,
            [
                (
                    n, w.address.kind, w.address.name, w.id, w.type, w.at, w.correlation, w.deadline, w.reply_to,
                    w.headers, w.body,
                )
                for n, u in units
                for w in u.waits
            ],
        ),
    ]  # fmt: skip


def traced(units: Sequence[Unit]) -> list[Any]:
    """The traces that were given, for sql/commit_judged.sql: the units' numbers, projects, keys and traces."""
    return columns(4, [(n, u.address.project, t.key, t.trace) for n, u in enumerate(units, start=1) for t in u.traces])


def needs_more(batch: Batch) -> bool:
    """Whether there is anything in a batch that `commit_batch` does not know of."""
    return any(u.carries or any(c.deadline is not None for c in u.settled) for u in batch.units)


def shared(units: Sequence[Unit]) -> list[tuple[int, int, str | None]]:
    """Units that want the same thing, as (unit, group, command id or None for a stream); only groups of two or more."""
    wanted: dict[Any, list[tuple[int, str | None]]] = {}
    for n, unit in enumerate(units, start=1):
        if unit.events or unit.expected is not None:
            wanted.setdefault(unit.address, []).append((n, None))
        for command in unit.settled:
            key = command.outbox_id or (unit.address.project, command.id)
            wanted.setdefault(key, []).append((n, command.id))
    if len(wanted) == sum(map(len, wanted.values())):
        return []
    groups = (members for members in wanted.values() if len(members) > 1)
    return [(n, group, command) for group, members in enumerate(groups, start=1) for n, command in members]


def chain_digest(units: Iterable[Unit]) -> bytes | None:
    """The digest and the marks of all events, if all units win; None where a unit's versions are not known beforehand.
    The dearest part of a commit in this process: see that it stays below 2 µs an event."""
    leaves: list[bytes] = []
    leaf, add = chain.leaf, leaves.append
    for unit in units:
        if not unit.events:
            continue
        version = unit.expected
        if version is None:
            return None
        prefix = chain.stream_prefix(unit.address)
        for e in unit.events:
            version += 1
            add(leaf(prefix, version, e.at, e.type, e.correlation, e.causation, e.body))
    return chain.digest_and_marks(leaves) if leaves else None


def caused(events: Iterable[NewEvent]) -> dict[str, tuple[int, int]]:
    """For each causing command: where its first event stands among these (from 0), and how many it caused."""
    found: dict[str, tuple[int, int]] = {}
    for n, event in enumerate(events):
        first, count = found.get(event.causation, (n, 0))
        found[event.causation] = (first, count + 1)
    return found


def _unit_rows(units: Sequence[Unit]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of units and of settled commands, with where their events begin (from 1) and how many they are."""
    rows_u: list[tuple[Any, ...]] = []
    rows_c: list[tuple[Any, ...]] = []
    before = 0
    for n, u in enumerate(units, start=1):
        a, events = u.address, len(u.events)
        rows_u.append((u.partition, a.project, a.kind, a.name, u.expected, before + 1 if events else 0, events))
        by_command = caused(u.events)
        for c in u.settled:
            first, count = by_command.get(c.id, (-before - 1, 0))
            row = (n, c.id, c.type, c.outcome, c.detail, c.outbox_id, c.keep, c.sequence, c.headers, c.body)
            rows_c.append((*row, before + first + 1, count))
        before += events
    return rows_u, rows_c


class Numbers:
    """Texts that repeat, each sent once and named by its number from 1."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            self.texts.append(text)
            number = self._numbers[text] = len(self.texts)
        return number


def columns(width: int, rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as the columns an array argument takes; so many empty ones for no rows."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
