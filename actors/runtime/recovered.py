"""What a run through all histories has recovered, on disk: it may be more than fits into memory.

A temporary file of SQLite's; nobody else reads it, and it is gone with the process.
"""

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from eventstore.histories import EventlessCommand
from eventstore.store import NewEffect, NewSend, NewTimer
from protocol.subjects import Address

_TABLES = """
create table sends (project text, id text, kind text, name text, type text, body blob, primary key (project, id))
    without rowid;
create table effects (project text, key text, kind text, body blob, position integer, primary key (project, key))
    without rowid;
create table timers (project text, kind text, name text, key text, type text, body blob,
    primary key (project, kind, name, key)) without rowid;
create table eventless (project text, kind text, name text, low integer, stood integer, high integer, id text,
    outbox integer, type text, outcome text, detail text, at text);
create index eventless_actor on eventless (project, kind, name, low);
create table known (project text, key text, primary key (project, key)) without rowid;
create table walked (project text, kind text, name text, version integer, primary key (project, kind, name))
    without rowid;
"""


@dataclass(frozen=True, slots=True)
class Message:
    """A command that was made again: for whom, and its tag and bytes."""

    to: Address
    type: str
    body: bytes


class Recovered:
    """Sends, effects and timers by the names they have in the store, and which histories they are from."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._run = database.execute
        self._run_many = database.executemany

    @classmethod
    @contextmanager
    def opened(cls) -> "Generator[Self]":
        """Empty, in a temporary file."""
        with closing(sqlite3.connect("", isolation_level=None)) as database:
            for setting in ("journal_mode = off", "synchronous = off", "temp_store = file"):
                database.execute(f"pragma {setting}")
            database.executescript(_TABLES)
            yield cls(database)

    def walked(self, address: Address, version: int) -> None:
        """The history was read to this version, all of it."""
        self._run("insert or replace into walked values (?, ?, ?, ?)", (*_key(address), version))

    def version_of(self, address: Address) -> int | None:
        """How far it was read; None for one that was not, or could not be read."""
        row = self._run("select version from walked where (project, kind, name) = (?, ?, ?)", _key(address)).fetchone()
        return None if row is None else int(row[0])

    def add_sends(self, project: str, sends: Iterable[NewSend]) -> None:
        rows = ((project, s.id, s.to.kind, s.to.name, s.type, s.body) for s in sends)
        self._run_many("insert or replace into sends values (?, ?, ?, ?, ?, ?)", rows)

    def add_effects(self, project: str, effects: Iterable[tuple[int, NewEffect]]) -> None:
        """Effects with the positions of the events that wanted them."""
        rows = ((project, e.key, e.effect_kind, e.body, position) for position, e in effects)
        self._run_many("insert or replace into effects values (?, ?, ?, ?, ?)", rows)

    def add_timers(self, address: Address, timers: Iterable[NewTimer]) -> None:
        rows = ((*_key(address), t.key, t.type, t.body) for t in timers)
        self._run_many("insert or replace into timers values (?, ?, ?, ?, ?, ?)", rows)

    def add_eventless(self, commands: Iterable[EventlessCommand]) -> None:
        rows = (
            (*_key(c.address), c.low, c.stood, c.high, c.id, c.outbox_id, c.type, c.outcome, c.detail, c.at.isoformat())
            for c in commands
        )
        self._run_many("insert into eventless values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def eventless(self, address: Address, limit: int) -> Iterator[list[EventlessCommand]]:
        """An actor's commands that led to nothing, the one with the lowest `low` first, in pages."""
        query = """select id, outbox, type, outcome, detail, at, low, stood, high from eventless
                   where (project, kind, name) = (?, ?, ?) order by low, stood, high, id"""
        rows = self._run(query, _key(address))
        while page := rows.fetchmany(limit):
            yield [
                EventlessCommand(
                    r[0], r[1], address, r[2], r[3], r[4], datetime.fromisoformat(r[5]), r[6], r[7], r[8]
                )
                for r in page
            ]  # fmt: skip

    def addresses(self) -> Iterator[Address]:
        """The actors that `eventless` has something of."""
        for project, kind, name in self._run("select distinct project, kind, name from eventless"):
            yield Address(project, kind, name)

    def add_known(self, project: str, key: str) -> None:
        """An effect of that key was wanted: it is under way, or an event says what it came to."""
        self._run("insert or ignore into known values (?, ?)", (project, key))

    def effects_between(self, first: int, last: int, limit: int) -> Iterator[list[tuple[str, str, str]]]:
        """Project, key and kind of the effects that events at these positions want and that are not known."""
        query = """select project, key, kind from effects where position between ? and ?
                   and (project, key) not in (select project, key from known) order by project, key"""
        rows = self._run(query, (first, last))
        while page := rows.fetchmany(limit):
            yield page

    def send(self, project: str, id_: str) -> Message | None:
        query = "select kind, name, type, body from sends where (project, id) = (?, ?)"
        row = self._run(query, (project, id_)).fetchone()
        return None if row is None else Message(Address(project, row[0], row[1]), row[2], row[3])

    def effect(self, project: str, key: str) -> tuple[str, bytes] | None:
        """Kind and work."""
        found: tuple[str, bytes] | None = self._run(
            "select kind, body from effects where (project, key) = (?, ?)", (project, key)
        ).fetchone()
        return found

    def timer(self, address: Address, key: str) -> Message | None:
        query = "select type, body from timers where (project, kind, name, key) = (?, ?, ?, ?)"
        row = self._run(query, (*_key(address), key)).fetchone()
        return None if row is None else Message(address, row[0], row[1])


def _key(address: Address) -> tuple[str, str, str]:
    return address.project, address.kind, address.name
