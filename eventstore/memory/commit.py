"""The deciding function of the in-memory store: the verdicts of migrations/0002_commit.sql, one unit after another."""

from datetime import datetime

from eventstore.errors import StoreError
from eventstore.memory.tables import Kept, Tables
from eventstore.postgres.batch import caused
from eventstore.records import Batch, InboxRow, Unit, Verdict
from protocol.subjects import Address


def commit_batch(tables: Tables, batch: Batch, now: datetime) -> tuple[Verdict, ...]:
    """Judge every unit, then write the winners. Nothing is written when it raises."""
    verdicts = _among_themselves(batch, [_judge(tables, batch, unit, now) for unit in batch.units])
    winners = [n for n, verdict in enumerate(verdicts) if verdict.status == "committed"]
    _check_effects(tables, [batch.units[n] for n in winners])
    before = tables.head
    link = len(tables.links) + any(batch.units[n].events for n in winners)
    for n in winners:
        verdicts[n] = _write(tables, batch.units[n], now, link)
    tables.carry([(batch.units[n], verdicts[n].first_position) for n in winners], now)
    tables.seal(before)
    kept = {unit.partition for unit, v in zip(batch.units, verdicts, strict=True) if v.status != "committed"}
    for fence in batch.fences:
        partition = tables.partitions.get(fence.partition)
        if partition is not None and partition.held_by(fence) and fence.partition not in kept:
            partition.cursor, partition.witness = fence.cursor, fence.witness
    return tuple(verdicts)


def _judge(tables: Tables, batch: Batch, unit: Unit, now: datetime) -> Verdict:
    """The verdict of a unit as if it were alone in the batch."""
    partition = tables.partitions.get(unit.partition)
    fence = next((f for f in batch.fences if f.partition == unit.partition), None)
    if partition is None or fence is None or not partition.held_by(fence):
        return Verdict("fenced")
    project = unit.address.project
    known = tuple(
        c.id
        for c in unit.settled
        if (c.outbox_id not in tables.outbox if c.outbox_id else (project, c.id, 0) in tables.inbox)
    )
    if known:
        return Verdict("known", known=known)
    late = tuple(c.id for c in unit.settled if c.deadline is not None and c.deadline < now)
    if late:
        return Verdict("expired", known=late)
    if unit.expected is not None and unit.expected != tables.version(unit.address):
        return Verdict("conflict")
    return Verdict("committed")


def _among_themselves(batch: Batch, verdicts: list[Verdict]) -> list[Verdict]:
    """Of the units still standing that want the same stream or command, the first gets it."""
    first: dict[Address | int | tuple[str, str], int] = {}
    result = list(verdicts)
    for n, unit in enumerate(batch.units):
        if verdicts[n].status != "committed":
            continue
        wanted = {c.outbox_id or (unit.address.project, c.id): c.id for c in unit.settled}
        rivals = {key: first.setdefault(key, n) for key in wanted}
        writes = bool(unit.events) or unit.expected is not None
        loses = any(rival != n for rival in rivals.values())
        loses |= writes and first.setdefault(unit.address, n) != n
        if loses:
            settled = [k for k, rival in rivals.items() if rival != n and result[rival].status == "committed"]
            known = tuple(wanted[key] for key in settled)
            result[n] = Verdict("known", known=known) if known else Verdict("conflict")
    return result


def _check_effects(tables: Tables, winners: list[Unit]) -> None:
    keys = [(unit.address.project, effect.key) for unit in winners for effect in unit.effects]
    if len(set(keys)) < len(keys) or any(key in tables.effects for key in keys):
        raise StoreError("commit: an effect's key is already in use; derive keys from the event that wants the effect")


def _write(tables: Tables, unit: Unit, now: datetime, link: int) -> Verdict:
    before = tables.head
    tables.write(unit.address, unit.events, fenced=True)
    by_command = caused(unit.events)
    for c in unit.settled:
        tables.outbox.pop(c.outbox_id, None)
        if c.keep:
            first, count = by_command.get(c.id, (0, 0))
            position = before + 1 + first if count else 0
            row = InboxRow(c.id, unit.address, c.type, c.outcome, c.detail, position, count)
            tables.inbox[unit.address.project, c.id, c.outbox_id] = row
            tables.kept[unit.address.project, c.id, c.outbox_id] = Kept(link, now, c.body, c.headers)
    tables.follow(unit, now)
    return Verdict("committed", before + 1 if unit.events else 0)
