"""A view with a column of every sort, filled by hand: what is true of its listing is true of every view's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from eventstore.postgres.store import PostgresStore
from eventstore.store import Recorded
from projections.listing import Above, Among, Listing
from projections.rows import Rows
from projections.storing import columns_of, store_sql
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
VERSION = 3
SCHEMA = """
create table notes (
    project text not null,
    task text not null,
    place integer not null,
    status text not null,
    errors bigint not null,
    words text[] not null,
    text text not null,
    detail jsonb not null,
    day date not null,
    seconds double precision,
    twice bigint generated always as (errors * 2) stored,
    position bigint not null,
    at timestamptz not null,
    primary key (project, task, place)
);
create index notes_newest on notes (project, at desc, position desc);
"""


class Note(Row, kw_only=True):
    """One note."""

    project: str
    task: str
    place: int
    status: str = "open"
    errors: int = 0
    words: tuple[str, ...] = ()
    text: str = ""
    detail: dict[str, Any] = {}
    day: date = date(2026, 1, 31)
    seconds: float | None = None


def _project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    raise NotImplementedError("this view is filled by hand")


NOTES = Table("notes", Note, ("project", "task", "place"))
VIEW = View("notes", VERSION, "notes_schema", (NOTES,), (), _project)
LISTING = Listing(
    VIEW,
    NOTES,
    filters=("status", "words", "day", "errors"),
    failed=(Among("status", ("failed", "lost")), Above("errors")),
    typed={"twice": int},
)
DAYS = Listing(VIEW, NOTES, part="days", time="day", failed=(Among("status", ("failed",)),))
LISTINGS = {listing.name: listing for listing in (LISTING, DAYS)}


@dataclass
class Notes:
    """The table in a database."""

    store: PostgresStore

    @classmethod
    async def made(cls, store: PostgresStore, position: int = 0) -> "Notes":
        await store.pool.execute(SCHEMA)
        await store.pool.execute(
            "insert into views (name, version, position) values ('notes', $1, $2)", VERSION, position
        )
        return cls(store)

    async def put(self, notes: Iterable[Note], position: int | None = None) -> None:
        """These rows, and where the view stands (at the greatest of their positions), in one transaction."""
        listed = list(notes)
        columns = columns_of(NOTES)
        async with self.store.pool.acquire() as connection, connection.transaction():
            values = [[_bound(column.bind, getattr(note, column.name)) for note in listed] for column in columns]
            schema: str = await connection.fetchval("select current_schema()")
            await connection.execute(store_sql(schema, NOTES), *values)
            reached = max(note.position for note in listed) if position is None else position
            await connection.execute("update views set position = greatest(position, $1) where name = 'notes'", reached)

    async def remove(self, note: Note) -> None:
        await self.store.pool.execute(
            "delete from notes where project = $1 and task = $2 and place = $3", note.project, note.task, note.place
        )

    async def stand(self, position: int) -> None:
        await self.store.pool.execute("update views set position = $1 where name = 'notes'", position)


def _bound(bind: Any, value: Any) -> Any:
    return value if bind is None or value is None else bind(value)


def note(place: int, *, task: str = "t1", project: str = "demo", second: int | None = None, **rest: Any) -> Note:
    """A note whose position is its place, at as many seconds after BEGIN."""
    at = BEGIN + timedelta(seconds=place if second is None else second)
    rest = {"position": place, "at": at, "day": at.date()} | rest
    return Note(project=project, task=task, place=place, **rest)


def some_notes(random: Random, count: int) -> list[Note]:
    """Notes of few times, positions and tasks, so that the order has to look at the whole key."""
    return [
        note(
            place, task=f"t{random.randrange(3)}", second=random.randrange(6), position=random.randrange(1, 5),
            status=random.choice(("open", "done", "failed", "lost")), errors=random.choice((0, 0, 1)),
            words=tuple(random.sample(("one", "two", "three"), random.randrange(3))),
        )
        for place in range(count)
    ]  # fmt: skip


def ordered(notes: Iterable[Note]) -> list[Note]:
    """Newest first."""
    return sorted(notes, key=lambda each: (each.at, each.position, each.task, each.place), reverse=True)


def places(rows: Sequence[Any]) -> list[tuple[str, int]]:
    return [(row.task, row.place) for row in rows]
