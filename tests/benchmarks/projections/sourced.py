"""The peer: PyPI `eventsourcing` with its own projection machinery, on the same server.

An application of aggregates with ten events each, stored about as long as those of the mix; a `Projection` of it that
counts events by kind and type, and a view that is a `PostgresTrackingRecorder`, which writes the count and the tracking
in one transaction. `ProjectionRunner` reads, decodes and hands over the events in threads of its own. All settings are
its defaults, PostgreSQL's commits too.
"""

from itertools import count
from time import perf_counter, sleep
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import anyio.to_thread
import asyncpg
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

SCHEMA = "sourced"
STREAM_EVENTS = 10
STREAMS_A_COMMIT = 100
TEXT = "x" * 60  # With it the stored state is about as long as the bodies of the mix.
KINDS, TYPES = 10, 25
START_S_MAX = 30.0
LOOK_EVERY_S = 0.005
_CREATE = """
create table if not exists {0}.counts
    (kind text, type text, events bigint not null, position bigint not null, primary key (kind, type))
"""
_COUNT = """
insert into {0}.counts as counted (kind, type, events, position) values (%s, %s, 1, %s)
on conflict (kind, type) do update set events = counted.events + 1, position = excluded.position
"""
_AGAIN = f"truncate {SCHEMA}.counts; delete from {SCHEMA}.counting_tracking where application_name = 'Tasks'"


class Task(Aggregate):
    """Something that notes are made about."""

    def __init__(self, kind: str, tag: str, text: str) -> None:
        self.text = text

    @event("Noted")
    def note(self, kind: str, tag: str, text: str) -> None:
        """One note more."""
        self.text = text


class Tasks(Application[UUID]):
    """The application whose events are projected."""


class Counts(PostgresTrackingRecorder):
    """The materialised view: a row for each kind and type."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        schema = Identifier(datastore.schema)
        self.sql_create_statements.append(SQL(_CREATE).format(schema))
        self._count = SQL(_COUNT).format(schema)

    def count(self, kind: str, tag: str, tracking: Tracking) -> None:
        """Count one event, and record that it was."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._count, (kind, tag, tracking.notification_id), prepare=True)


class Counting(Projection[Counts]):
    """Hands each event to the view. `progress`: how many so far, and when the last one was done."""

    name = "counting"

    def __init__(self, view: Counts) -> None:
        super().__init__(view)
        self.progress = (0, perf_counter())

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Count it."""
        self.view.count(domain_event.kind, domain_event.tag, tracking)
        self.progress = (self.progress[0] + 1, perf_counter())


class Sourced:
    """The application and its projection, in a schema of their own."""

    def __init__(self, dsn: str) -> None:
        url = urlsplit(dsn)
        self._dsn = dsn
        self._env = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": url.path[1:],
            "POSTGRES_HOST": url.hostname or "",
            "POSTGRES_PORT": str(url.port or 5432),
            "POSTGRES_USER": url.username or "",
            "POSTGRES_PASSWORD": url.password or "",
            "POSTGRES_SCHEMA": SCHEMA,
        }

    async def fill(self, events: int) -> None:
        """Store about that many events."""
        connection: Any = await asyncpg.connect(self._dsn)
        await connection.execute(f"create schema {SCHEMA}")
        await connection.close()
        await anyio.to_thread.run_sync(self._fill, events)

    def _fill(self, events: int) -> None:
        app, numbers = Tasks(self._env), count()

        def said() -> dict[str, str]:
            n = next(numbers)
            return {"kind": f"kind-{n % KINDS}", "tag": f"task.noted_{n % TYPES}.v1", "text": TEXT}

        for _ in range(0, events, STREAM_EVENTS * STREAMS_A_COMMIT):
            tasks = [Task(**said()) for _ in range(STREAMS_A_COMMIT)]
            for task in tasks * (STREAM_EVENTS - 1):
                task.note(**said())
            app.save(*tasks)
        app.close()

    async def fold(self, seconds: float) -> tuple[int, float]:
        """Events folded from the beginning in about so many seconds (or until the last), and the exact time."""
        connection: Any = await asyncpg.connect(self._dsn)
        there = await connection.fetchval(f"select to_regclass('{SCHEMA}.counts') is not null")
        if there:
            await connection.execute(_AGAIN)
        await connection.close()
        return await anyio.to_thread.run_sync(self._fold, seconds)

    def _fold(self, seconds: float) -> tuple[int, float]:
        with ProjectionRunner(
            application_class=Tasks, projection_class=Counting, view_class=Counts, env=self._env
        ) as runner:
            counting = runner.projection
            assert isinstance(counting, Counting)
            began = perf_counter()
            while not counting.progress[0]:  # Connecting is no part of it.
                if perf_counter() - began > START_S_MAX or runner.is_interrupted.is_set():
                    raise RuntimeError("the projection of eventsourcing does not begin: its error is above")
                sleep(LOOK_EVERY_S)
            first, started = counting.progress
            runner.run_forever(seconds)
            last, ended = counting.progress
        return last - first, ended - started
