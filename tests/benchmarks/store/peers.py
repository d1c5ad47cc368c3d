"""The peers: PyPI `eventsourcing` on the same server, and binary COPY into a copy of the events' table.

`eventsourcing` is measured by its own recorder (`PostgresApplicationRecorder.insert_events`), below its aggregates and
its JSON: ids, versions and bytes ready to be stored, one event a call, from 16 threads with a connection each. COPY is
one connection that sends rows as asyncpg encodes them, one commit after another; it keeps no stream's version, refuses
nothing and links nothing.
"""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import anyio.to_thread
import asyncpg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from tests.benchmarks.store.stored import BODY_BYTES, PEERS, STREAM_EVENTS
from tests.benchmarks.store.writers import Ids, body

THREADS = 16
PAGE = 2_000  # As Troupe reads.
_COLUMNS = ("position", "stream_id", "version", "type_id", "at", "correlation", "causation", "body")


class EventSourcing:
    """Its recorder on a schema of its own."""

    def __init__(self, dsn: str, schema: str) -> None:
        url = urlsplit(dsn)
        self._datastore = PostgresDatastore(
            dbname=url.path[1:],
            host=url.hostname or "",
            port=url.port or 5432,
            user=url.username or "",
            password=url.password or "",
            pool_size=THREADS,
            schema=schema,
        )
        self._recorder = PostgresApplicationRecorder(self._datastore)
        self._recorder.create_table()

    def close(self) -> None:
        self._datastore.close()

    async def write(self, seconds: float) -> tuple[int, float]:
        """Events written by 16 threads in about so many seconds, and the exact time."""
        return await anyio.to_thread.run_sync(self._write, seconds)

    def _write(self, seconds: float) -> tuple[int, float]:
        counts = [0] * THREADS
        started = perf_counter()

        def writer(n: int) -> None:
            state = body(n, BODY_BYTES)
            while True:
                stream = uuid4()
                for version in range(1, STREAM_EVENTS + 1):
                    self._recorder.insert_events([StoredEvent(stream, version, "bench:Noted", state)])
                    counts[n] += 1
                    if perf_counter() - started > seconds:
                        return

        threads = [threading.Thread(target=writer, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts), perf_counter() - started

    async def read(self, events: int) -> tuple[int, float]:
        return await anyio.to_thread.run_sync(self._read, events)

    def _read(self, events: int) -> tuple[int, float]:
        started, found, after = perf_counter(), 0, 0
        while found < events:
            page = self._recorder.select_notifications(after + 1, PAGE)
            found, after = found + len(page), page[-1].id
        return found, perf_counter() - started


class Copy:
    """Rows of the events' shape, so many a commit, of as many streams as would be writing them."""

    def __init__(self, connection: "asyncpg.Connection[Any]", table: str, stored: int) -> None:
        self._connection, self._table = connection, table
        self._position, self._stream = stored, stored // STREAM_EVENTS
        self._ids = Ids()

    async def write(self, seconds: float, streams: int, events_each: int) -> tuple[int, float]:
        """Commits of `streams * events_each` rows for about so many seconds."""
        started, written, version = perf_counter(), 0, 0
        while (took := perf_counter() - started) < seconds:
            if version == STREAM_EVENTS:
                self._stream, version = self._stream + streams, 0
            rows = self._rows(streams, events_each, version)
            version += events_each
            await self._connection.copy_records_to_table(self._table, schema_name=PEERS, records=rows, columns=_COLUMNS)
            written += len(rows)
        self._stream += streams
        return written, took

    def _rows(self, streams: int, events_each: int, version: int) -> Sequence[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        position, now, text = self._position, datetime.now(UTC), body(1, BODY_BYTES)
        for stream in range(self._stream + 1, self._stream + 1 + streams):
            cause = self._ids.next()
            for n in range(1, events_each + 1):
                position += 1
                rows.append((position, stream, version + n, 1, now, cause, cause, text))
        self._position = position
        return rows
