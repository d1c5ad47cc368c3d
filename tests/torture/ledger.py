"""What the database writes down by itself of who wrote what, whatever the processes say or forget when they die.

Each life of a worker logs in under a role of its own. Triggers beside the log note under which role each event was
written, which role took each partition and at which head of the log, and every cursor that was moved by a role that did
not own its partition. An acquisition waits for the row of its partition, so whatever was committed before it lies at or
below the head it notes, and whatever is committed under it lies above: a commit by an owner after a later epoch began
cannot hide.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import asyncpg

from actors.runtime.simulated.checkers import Acquired, Wrote
from eventstore.store import Recorded
from protocol.subjects import Address, partition_of

KEEPER = "runtime"  # Its streams are named by the partition that they belong to.
CONNECT_S_MAX = 5.0

_INSTALL = """
create schema torture;
create table torture.writes (position bigint primary key, who text not null, at timestamptz not null);
create table torture.acquired (
    n bigint generated always as identity, partition integer not null, epoch bigint not null, who text not null,
    head bigint not null, at timestamptz not null
);
create table torture.owners (partition integer primary key, who text not null);
create table torture.trespasses (partition integer not null, epoch bigint not null, who text not null, owner text);

create function torture.note_writes() returns trigger language plpgsql as $$
begin
    insert into torture.writes select position, session_user, clock_timestamp() from fresh;
    return null;
end $$;
create trigger torture_writes after insert on troupe.events
    referencing new table as fresh for each statement execute function torture.note_writes();

create function torture.note_owner() returns trigger language plpgsql as $$
begin
    insert into torture.acquired (partition, epoch, who, head, at)
    values (
        new.id, new.epoch, case when new.owner is null then '' else session_user end,
        (select coalesce(max(position), 0) from troupe.events), clock_timestamp()
    );
    insert into torture.owners values (new.id, session_user)
    on conflict (partition) do update set who = session_user;
    return null;
end $$;
create trigger torture_owner after update on troupe.partitions for each row
    when (old.epoch <> new.epoch or old.owner is distinct from new.owner) execute function torture.note_owner();

create function torture.note_trespass() returns trigger language plpgsql as $$
declare
    owner_ text := (select who from torture.owners where partition = new.id);
begin
    if owner_ is distinct from session_user::text then
        insert into torture.trespasses values (new.id, new.epoch, session_user, owner_);
    end if;
    return null;
end $$;
create trigger torture_trespass after update of cursor on troupe.partitions for each row
    when (old.epoch = new.epoch and old.cursor <> new.cursor) execute function torture.note_trespass();
"""
_SINCE = """
select w.at, s.project, s.kind, s.name from torture.writes w
join troupe.events e using (position) join troupe.streams s on s.id = e.stream_id
where w.at > $1 and w.who <> $2 order by w.position
"""
_HELD = """
select partition from (
    select distinct on (partition) partition, who from torture.acquired where at <= $1 order by partition, n desc
) held where who = $2
"""


@dataclass(frozen=True)
class Notes:
    """What was written down, in the order of what happened; and the cursors that were moved by somebody else."""

    entries: Sequence[Acquired | Wrote]
    trespasses: Sequence[str]


class Ledger:
    """The ledger of the log in `dsn`, whose schema is there already. The role in `dsn` must be a superuser."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._password = secrets.token_hex(16)

    async def install(self, lives: Collection[str]) -> None:
        """Begin to write down, and let those roles log in."""
        connection = await self._connect()
        try:
            await connection.execute(_INSTALL)
            for life in lives:
                await connection.execute(f"create role {life} login superuser password '{self._password}'")
        finally:
            await connection.close()

    def account(self, life: str) -> str:
        """`user:password` of that role."""
        return f"{life}:{self._password}"

    async def held(self, life: str, at: datetime) -> set[int]:
        """The partitions that were that role's at that time."""
        connection = await self._connect()
        try:
            return {row["partition"] for row in await connection.fetch(_HELD, at, life)}
        finally:
            await connection.close()

    async def written_since(self, at: datetime, but: str) -> list[tuple[datetime, int]]:
        """When and in which partition others than that role wrote an event after that time, in order."""
        connection = await self._connect()
        try:
            rows = await connection.fetch(_SINCE, at, but)
        finally:
            await connection.close()
        return [(row["at"], _partition(Address(row["project"], row["kind"], row["name"]))) for row in rows]

    async def notes(self, log: Sequence[Recorded]) -> Notes:
        """Everything, of a log that is complete."""
        connection = await self._connect()
        try:
            rows = await connection.fetch("select position, who from torture.writes")
            writers: dict[int, str] = {row["position"]: row["who"] for row in rows}
            acquired = await connection.fetch("select partition, epoch, who, head from torture.acquired order by n")
            trespasses = await connection.fetch("select * from torture.trespasses")
        finally:
            await connection.close()
        # An acquisition comes after everything up to the head that it saw.
        entries: list[tuple[tuple[int, int, int], Acquired | Wrote]] = [
            ((row["head"], 1, n), Acquired(row["partition"], row["epoch"], row["who"]))
            for n, row in enumerate(acquired)
            if row["who"]
        ]
        epochs = _Epochs((row["head"], row["partition"], row["epoch"]) for row in acquired if row["who"])
        for event in log:
            partition = _partition(event.address)
            who, epoch = writers.get(event.position, "nobody"), epochs.at(partition, event.position)
            entries.append(((event.position, 0, 0), Wrote(partition, epoch, who, str(event.address))))
        told = [
            f"{row['who']} moved the cursor of partition {row['partition']} in epoch {row['epoch']}, "
            f"which was {row['owner']}'s"
            for row in trespasses
        ]
        return Notes([entry for _, entry in sorted(entries, key=lambda each: each[0])], told)

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self._dsn, timeout=CONNECT_S_MAX)


class _Epochs:
    """Which epoch of a partition stood at which position."""

    def __init__(self, acquired: Iterable[tuple[int, int, int]]) -> None:
        self._of: dict[int, list[tuple[int, int]]] = {}
        for head, partition, epoch in acquired:
            self._of.setdefault(partition, []).append((head, epoch))

    def at(self, partition: int, position: int) -> int:
        return max((epoch for head, epoch in self._of.get(partition, []) if head < position), default=0)


def _partition(address: Address) -> int:
    return int(address.name) if address.kind == KEEPER else partition_of(address)


def with_account(dsn: str, account: str, port: int) -> str:
    """That database, as somebody else and through another port of this machine."""
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{account}@127.0.0.1:{port}").geturl()
