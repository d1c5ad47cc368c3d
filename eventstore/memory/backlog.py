"""What waits in the store, in memory: keeps the promises of `eventstore/backlog.py`."""

from collections.abc import Callable, Iterable, Sized
from datetime import datetime
from itertools import islice

from anyio.lowlevel import checkpoint

from eventstore.backlog import COUNTED_MAX, EffectsOpen, EffectStanding, Waits
from eventstore.effects import is_order
from eventstore.memory.effects import NEVER
from eventstore.memory.tables import EffectRow, Tables

Groups = dict[tuple[str, EffectStanding], list[datetime]]


class MemoryBacklog:
    """The backlog of the tables of one store."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables, self._now = tables, now

    async def waits(self) -> Waits:
        await checkpoint()
        tables, now = self._tables, self._now()
        heard = (w.written_at for w in tables.outbox.values() if w.send.to not in tables.parked)
        asks = [row.ask.deadline for row in tables.asks.values() if row.answer is None]
        partitions = tables.partitions.values()
        free = (p for p in partitions if p.owner is None or p.expires_at is None or p.expires_at <= now)
        return Waits(
            _counted(tables.outbox), _age(now, islice(heard, 1)), _counted(asks), _age(now, asks),
            _counted(tables.parked_commands), sum(until > now for _, until in tables.workers.values()),
            len(partitions), sum(1 for _ in free), min((p.cursor for p in partitions), default=0),
        )  # fmt: skip

    async def effects(self) -> list[EffectsOpen]:
        await checkpoint()
        now, groups = self._now(), Groups()
        rows = (row for row in self._tables.effects.values() if not is_order(row.effect.effect_kind))
        for row in sorted(rows, key=lambda row: (row.effect.at, row.effect.key))[:COUNTED_MAX]:
            standing = _standing(row, now)
            known_since = row.effect.at if standing == "unknown" or row.due == NEVER else max(row.effect.at, row.due)
            groups.setdefault((row.effect.effect_kind, standing), []).append(known_since)
        return [EffectsOpen(*key, len(since), _age(now, since)) for key, since in sorted(groups.items())]


def _standing(row: EffectRow, now: datetime) -> EffectStanding:
    if row.state == "unknown":
        return "unknown"
    if row.claim is not None and row.claimed_until is not None and row.claimed_until > now:
        return "running"
    if row.state in ("withdrawn", "done", "failed"):
        return "ending"
    return "delayed" if row.due > now else "waiting"


def _age(now: datetime, times: Iterable[datetime]) -> float:
    oldest = min(times, default=now)
    return max(0.0, (now - oldest).total_seconds())


def _counted(rows: Sized) -> int:
    return min(len(rows), COUNTED_MAX)
