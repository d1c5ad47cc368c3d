"""Tampering: any byte of any stored event, commit or blob that is changed is found, and named."""

import os
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import asyncpg
import pytest
import pytest_asyncio

from eventstore.errors import StoreUnavailable
from eventstore.postgres import audit, migrate
from eventstore.postgres.sessions import copy_out
from eventstore.postgres.store import PostgresStore
from eventstore.verifier import Broken, Chain, Link, LinkRows
from tests.kit.chains import write_log
from tests.kit.units import NOON, actor, event

SEED = 4
WAIT_S = 20.0  # A bound on what should happen at once.
OLD_COMMITS = ((1, 1), (2, 4), (5, 5))  # In format 1.
OLD_LAST = OLD_COMMITS[-1][1]
BIG = 3 * 1024 * 1024  # A blob in chunks.

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass
class Log:
    """A store with five events from before format 2 and thirteen since, and somebody else's session on its schema."""

    store: PostgresStore
    outside: Session

    async def streams(self) -> tuple[bytes, bytes]:
        """All links and all events as an audit reads them."""
        commits, events = bytearray(), bytearray()
        await copy_out(self.outside, "archive_commits", 0, 1 << 40, to=commits.extend)
        await copy_out(self.outside, "archive_events", 0, 1 << 40, to=events.extend)
        return bytes(commits), bytes(events)

    def commit_of(self, links: list[Link], position: int) -> Link:
        return next(link for link in links if link.first <= position <= link.last)


@pytest_asyncio.fixture
async def log(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Log]:
    outside: Session = await asyncpg.connect(database, server_settings={"search_path": "troupe, public"})
    try:
        await write_old_log(outside, monkeypatch, tmp_path)
        async with PostgresStore.open(database) as store:
            await write_log(store)
            await store.blobs.put("demo", b"small")
            await store.blobs.write("demo", pieces())
            yield Log(store, outside)
    finally:
        outside.terminate()


async def pieces() -> AsyncIterator[bytes]:
    for n in range(3):
        yield bytes([n]) * (BIG // 3)


async def write_old_log(connection: Session, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A log as the first three migrations wrote it."""
    for path in sorted(migrate.MIGRATIONS.glob("000[123]_*.sql")):
        (folder / path.name).write_text(path.read_text())
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "MIGRATIONS", folder)
        await migrate.migrate(connection, "troupe")
    for first, last in OLD_COMMITS:
        count = last - first + 1
        events = [event(n, "läuft", "task.old.v1") for n in range(count)]
        columns = zip(*((e.type, e.at, e.correlation, e.causation, e.body) for e in events), strict=True)
        await connection.fetchval("select append_plain('demo', 'task', $1, null, $2, $3, $4, $5, $6)", "old", *columns)


def first_wrong(commits: bytes, events: bytes) -> Broken | None:
    """What a recomputation of the whole log says."""
    chain = Chain(LinkRows().read([commits]), versions=True)
    try:
        chain.feed(events)
        chain.end()
    except Broken as broken:
        return broken
    return None


def rows_of(stream: bytes) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """Begin and end of every row in a COPY stream, and of its fields."""
    rows: list[tuple[int, int, list[tuple[int, int]]]] = []
    place = 19
    while stream[place : place + 2] != b"\xff\xff":
        begin, fields = place, list[tuple[int, int]]()
        count, place = int.from_bytes(stream[place : place + 2], "big"), place + 2
        for _ in range(count):
            length = int.from_bytes(stream[place : place + 4], "big")
            fields.append((place + 4, place + 4 + length))
            place += 4 + length
        rows.append((begin, place, fields))
    return rows


def flipped(content: bytes, place: int, draw: random.Random) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


async def test_every_byte_of_events_and_commits_counts(log: Log) -> None:
    """Exhaustive: each byte of what the audit reads, one bit of it changed. The one exception is the byte that says
    whether the stream is an actor's, which is no part of an event."""
    draw = random.Random(SEED)
    commits, events = await log.streams()
    assert first_wrong(commits, events) is None
    links = list(LinkRows().read([commits]))
    assert [(link.format, link.first, link.last) for link in links[:3]] == [(1, *each) for each in OLD_COMMITS]
    assert {link.format for link in links[3:]} == {2}
    for link, (begin, end, _) in zip(links, rows_of(commits), strict=True):
        for place in range(begin, end):
            broken = first_wrong(flipped(commits, place, draw), events)
            assert broken is not None, f"byte {place - begin} of the commit at {link.first}"
            assert broken.position == link.first, (place - begin, broken)
    for position, (begin, end, fields) in enumerate(rows_of(events), start=1):
        link = log.commit_of(links, position)
        fenced = fields[1][0]
        for place in range(begin, end):
            broken = first_wrong(commits, flipped(events, place, draw))
            if place == fenced:
                continue
            assert broken is not None, f"byte {place - begin} of the event at {position}"
            # A commit of format 1 has no marks: it is named as a whole.
            named = [position] if link.format == 2 else range(link.first, link.last + 1)
            assert broken.position in named, (place, broken)
    for content in (commits, events):
        for place in (*range(19), len(content) - 2, len(content) - 1):
            bad = flipped(content, place, draw)
            assert first_wrong(bad if content is commits else commits, bad if content is events else events)


def altered(value: Any, draw: random.Random) -> Any:
    """The same value with one bit of it changed."""
    match value:
        case bytes():
            return flipped(value, draw.randrange(len(value)), draw) if value else b"\0"
        case str():
            place = draw.randrange(len(value))
            return value[:place] + chr(ord(value[place]) ^ 16) + value[place + 1 :]
        case datetime():
            return value + timedelta(microseconds=draw.choice((-1, 1)) << draw.randrange(50))
        case int():
            return value ^ 1 << draw.randrange(5, 14)
        case _:
            raise AssertionError(f"no way to alter {value!r}")


class Row:
    """A row of a table, wherever it has been moved to by updates."""

    def __init__(self, log: Log, table: str, found: asyncpg.Record) -> None:
        self.log, self.table, self.found = log, table, found
        self._ctid = found["ctid"]

    @asynccontextmanager
    async def altered(self, column: str, draw: random.Random) -> AsyncGenerator[None]:
        """One bit of one field changed while the block runs."""
        before = self.found[column]
        await self._set(column, altered(before, draw))
        yield
        await self._set(column, before)

    async def _set(self, column: str, value: Any) -> None:
        statement = f"update {self.table} set {column} = $1 where ctid = $2 returning ctid"
        self._ctid = await self.log.outside.fetchval(statement, value, self._ctid)
        assert self._ctid is not None


TABLES = {
    "events": ("position", "stream_id", "version", "type_id", "at", "correlation", "causation", "body"),
    "commits": ("format", "first_position", "last_position", "at", "digest", "marks", "root"),
    "streams": ("project", "kind", "name", "version"),
    "event_types": ("tag",),
}


@pytest.mark.parametrize("table", TABLES)
async def test_a_changed_field_is_named_with_its_position(log: Log, table: str) -> None:
    """Each field of each row in the database itself, a random bit of it."""
    draw = random.Random(SEED)
    links = list(LinkRows().read([(await log.streams())[0]]))
    events = await log.store.read(0)
    numbers: list[tuple[int, int, int]] = [
        tuple(row) for row in await log.outside.fetch("select position, stream_id, type_id from events order by 1")
    ]

    def expected(row: asyncpg.Record, column: str) -> set[int]:
        if table == "commits":
            return {row["first_position"]}
        if (table, column) == ("streams", "version"):
            return {max(position for position, stream, _ in numbers if stream == row["id"])}
        if table == "events":
            position: int = row["position"]
        else:
            of = 1 if table == "streams" else 2
            position = min(each[0] for each in numbers if each[of] == row["id"])
        return {position, log.commit_of(links, position).first} if position <= OLD_LAST else {position}

    for row in await log.outside.fetch(f"select ctid, * from {table} order by 2"):
        tampered = Row(log, table, row)
        for column in TABLES[table]:
            async with tampered.altered(column, draw):
                broken = (await log.store.audit.verify()).broken
            assert broken is not None, (table, dict(row), column)
            assert broken.position in expected(row, column), (table, dict(row), column, broken)
    assert (await log.store.audit.verify()).broken is None
    assert await log.store.read(0) == events


@pytest.mark.parametrize(
    ("tampering", "position", "what"),
    [
        ("delete from events where position = 7", 7, "the event is missing"),
        ("delete from events where position = 18", 18, "the event is missing"),
        ("delete from events where position = 3", 3, "the event is missing"),
        ("delete from commits where first_position = 7", 7, "a row before it is gone"),
        ("delete from commits where first_position = 18", 18, "the event is in no commit"),
        ("delete from commits", 1, "the event is in no commit"),
        (
            "insert into events select 19, stream_id, version + 1, type_id, at, correlation, causation, body "
            "from events where position = 18",
            19,
            "the event is in no commit",
        ),
        (
            "insert into events select -3, stream_id, version + 9, type_id, at, correlation, causation, body "
            "from events where position = 18",
            1,
            "the event of position -3 stands here",
        ),
        (
            "update commits set root = c.root, digest = c.digest, marks = c.marks, at = c.at from commits c "
            "where commits.first_position = 18 and c.first_position = 6",
            18,
            "the row of this commit was changed",
        ),
        ("update streams set version = version - 1 where name = 'plain'", 17, "the stream demo/task/plain"),
        ("update blobs set content = 'smell' where content is not null", 0, "the blob "),
        ("update blob_chunks set bytes = set_byte(bytes, 1000000, 7) where n = 2", 0, "the blob "),
        ("delete from blob_chunks where n = 1", 0, "the blob "),
        ("update blobs set sha256 = set_byte(sha256, 31, get_byte(sha256, 31) # 1)", 0, "the blob "),
    ],
)
async def test_what_is_missing_added_or_moved_is_named(log: Log, tampering: str, position: int, what: str) -> None:
    assert (await log.store.audit.verify()).broken is None
    await log.outside.execute(tampering)
    broken = (await log.store.audit.verify()).broken
    assert broken is not None
    assert (broken.position, what in broken.what) == (position, True), broken


async def test_a_range_is_judged_by_what_is_in_it(log: Log) -> None:
    await log.outside.execute("update events set body = '{}' where position = 8")
    assert (await log.store.audit.verify(1, 6)).broken is None
    assert (await log.store.audit.verify(12)).broken is None
    broken = (await log.store.audit.verify(9)).broken  # The commit that holds 9 begins at 7.
    assert broken is not None
    assert broken.position == 8


async def test_many_processes_name_the_same_position_as_one(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces end with commits; of several broken ones the first is named, whichever process is quicker."""
    monkeypatch.setattr(audit, "PROCESS_EVENTS_MIN", 0)
    monkeypatch.setattr(audit, "PIECE_EVENTS_MIN", 4)
    audited = await log.store.audit.verify(processes=2)
    assert audited == await log.store.audit.verify(processes=1)
    assert audited.broken is None
    await log.outside.execute("update events set body = '{}' where position in (9, 12, 18)")
    for processes in (1, 2):
        broken = (await log.store.audit.verify(processes=processes)).broken
        assert broken is not None
        assert broken.position == 9


def workers() -> list[str]:
    """Processes of ours that compute a piece of an audit."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and "audit_piece" in process.joinpath("cmdline").read_text():
                found.append(process.name)
    return found


async def test_processes_end_with_an_audit_that_is_cancelled(log: Log) -> None:
    """A process that waits for a lock that somebody holds."""
    await log.outside.execute("begin")
    await log.outside.execute("lock table commits in access exclusive mode")
    dsn: str = log.store.audit._dsn  # pyright: ignore[reportPrivateUsage]

    async def sessions() -> int:
        name = "application_name = 'troupe bulk' and wait_event_type = 'Lock'"
        return await log.store.pool.fetchval(f"select count(*) from pg_stat_activity where {name}")

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(audit._in_a_process, audit.Piece(dsn, "troupe", 0, 18))  # pyright: ignore[reportPrivateUsage]
            while not await sessions():
                await anyio.sleep(0.01)  # Another process works.
            assert len(workers()) == 1
            group.cancel_scope.cancel()
    assert workers() == []


async def test_a_process_that_cannot_reach_the_server_says_so(log: Log) -> None:
    piece = audit.Piece("postgresql://nobody@127.0.0.1:9/none", "troupe", 0, 18)
    with pytest.raises(StoreUnavailable, match="verify the log"):
        await audit._in_a_process(piece)  # pyright: ignore[reportPrivateUsage]


async def test_old_links_keep_their_format_and_their_time_is_covered(log: Log) -> None:
    rows = await log.outside.fetch("select format, octet_length(marks) as marks from commits order by last_position")
    assert [tuple(row) for row in rows[:3]] == [(1, 8)] * 3
    assert all(row["format"] == 2 for row in rows[3:])
    assert [e.at for e in (await log.store.read(0))[:OLD_LAST]] == [
        NOON + timedelta(microseconds=n) for first, last in OLD_COMMITS for n in range(last - first + 1)
    ]
    await log.outside.execute("update commits set at = at + interval '1 microsecond' where first_position = 2")
    broken = (await log.store.audit.verify()).broken
    assert broken is not None
    assert broken.position == 2


async def test_what_old_code_seals_is_of_the_new_format(log: Log) -> None:
    """It hands over a digest of format 1, or none; and its own check of the links finds nothing wrong."""
    await log.store.append(actor("plain2"), [event(1)])
    await log.outside.execute(
        "insert into events select 20, stream_id, version + 1, type_id, at, correlation, causation, body "
        "from events where position = 19"
    )
    await log.outside.execute("update streams set version = 2 where name = 'plain2'")
    await log.outside.execute("select seal(20, 20, sha256('of format 1'))")
    assert (await log.store.audit.verify()).broken is None
    checked = await log.outside.fetch(
        "select last_position, digest = digest_of(first_position, last_position) as digest, "
        "root = link_root(lag(root) over (order by last_position), first_position, last_position, digest) as root "
        "from commits"
    )
    assert len(checked) == 11
    assert all(row["digest"] and row["root"] for row in checked)


async def test_a_log_written_anew_with_its_whole_chain_holds_but_has_another_root(log: Log) -> None:
    """What only a root kept elsewhere can show."""
    before = (await log.store.audit.roots_at([18])).get(18)
    await log.outside.execute("update events set body = '{}' where position = 18")
    await log.outside.execute("delete from commits where first_position = 18")
    await log.outside.execute("select seal(18, 18, null)")
    assert (await log.store.audit.verify()).broken is None
    assert (await log.store.audit.roots_at([18])).get(18) != before
