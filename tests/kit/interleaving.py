"""Explores how writers, group commits, readers and crashes of one log can interleave, on a real PostgreSQL, by seed.

Each actor has a session of its own and takes its steps in transactions that the scheduler holds open: a writer begins,
calls the store's own code, and later commits, rolls back or is killed. Between any two steps the others take theirs. A
step that waits for a lock is left waiting (the server says so) while others go on. What must hold is checked after each
step; the first thing that does not is a `Violation`, which names its kind and shows the schedule.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID, uuid4

import anyio
import anyio.abc
import asyncpg

from eventstore.chain import root
from eventstore.postgres.appending import append_all
from eventstore.postgres.batch import arguments
from eventstore.postgres.optimistic import OptimisticCommits
from eventstore.postgres.statements import statement
from eventstore.store import Append, Batch, Fence, StreamWrite, Unit
from tests.kit.units import actor, event, external

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SETTLE_S_MAX = 20.0  # A step that neither ends nor waits for a lock by then is a fault of the checker.
POLL_S = 0.001
STEPS_MAX = 40
WRITERS = 3
READERS = 2
EVENTS_SQL = """
    select e.position, s.name, e.version, e.causation from events e join streams s on s.id = e.stream_id
    where e.position > $1 order by e.position
"""
BLOCKED_SQL = "select cardinality(pg_blocking_pids($1)) > 0"
EMPTY_SQL = """
    truncate events, streams, commits, inbox, outbox, timers, effects, partitions, event_types restart identity cascade
"""


class Violation(AssertionError):
    """A promise was broken: skip, order, hole, version, false acknowledgement, ghost, refused or chain (its `kind`)."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


@dataclass
class Written:
    """An attempt to write: its label stands in the causation of its events."""

    label: str
    events: int


@dataclass
class Reader:
    session: Session
    position: int = 0
    seen: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


class Writer:
    """A session that writes to streams of its own and to shared ones, as the store does."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.rng = rng
        self.session: Session
        self.pid = 0
        self.numbers = OptimisticCommits()
        self.owner: UUID = uuid4()
        self.versions: Counter[str] = Counter()
        self.attempts = 0
        self.open: Written | None = None
        self.running: anyio.Event | None = None
        self.failure: Exception | None = None
        self.lost = False

    async def connect(self, dsn: str) -> None:
        self.session = await asyncpg.connect(dsn, server_settings={"search_path": "troupe, public"})
        self.pid = self.session.get_server_pid()
        self.numbers = OptimisticCommits()

    async def write(self) -> None:
        """Begin and write, without committing. Every second attempt is a group commit under a fence of its own."""
        self.attempts += 1
        written = Written(f"{self.name}-{self.attempts}", self.rng.randint(1, 3))
        self.open = written
        try:
            await self.session.execute("begin")
            if self.rng.random() < 0.5:
                won = await self._append(written)
            else:
                won = await self._commit(written)
            self.lost = not won
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            self.failure = error

    async def _append(self, written: Written) -> bool:
        """One atomic append: to a stream of its own at the version it has, and to one that all writers share."""
        own = f"plain-{self.name}"
        events = tuple(event(n, written.label) for n in range(written.events))
        append = Append(
            (StreamWrite(actor(own), events, self.versions[own]), StreamWrite(actor("shared"), events[:1], None)),
            written.label if self.rng.random() < 0.5 else "",
        )
        written.events += 1
        (done,) = await append_all(self.session, self.numbers, [append])  # pyright: ignore[reportArgumentType]
        return done.status == "committed"

    async def _commit(self, written: Written) -> bool:
        own = f"actor-{self.name}"
        unit = Unit(
            self._partition,
            actor(own),
            self.versions[own],
            (external(written.label),),
            tuple(event(n, written.label) for n in range(written.events)),
        )
        batch = Batch((Fence(self._partition, 1, self.owner, self.attempts, written.label),), (unit,))
        verdicts = await self.numbers.commit(self.session, batch)  # pyright: ignore[reportArgumentType]
        if verdicts is None:
            rows = await self.session.fetch(statement("commit"), *arguments(batch))
            return all(row["status"] == "committed" for row in rows)
        return True

    @property
    def _partition(self) -> int:
        return int(self.name)


class Exploration:
    """One seed: some steps of all actors in a random order, with every invariant checked on the way."""

    def __init__(
        self, dsn: str, monitor: Session, seed: int, acknowledge_early: bool = False, readers: int = READERS
    ) -> None:
        self.dsn, self.monitor = dsn, monitor
        self.rng = random.Random(seed)
        self.acknowledge_early, self.readers_wanted = acknowledge_early, readers
        self.writers = [Writer(str(n), self.rng) for n in range(WRITERS)]
        self.readers: list[Reader] = []
        self.acknowledged: list[Written] = []
        self.dropped: list[Written] = []
        self.schedule: list[str] = []

    async def run(self) -> None:
        """Violation, with the schedule in its notes, for the first promise that is broken."""
        await self.monitor.execute(EMPTY_SQL)
        for writer in self.writers:
            await writer.connect(self.dsn)
            await self.monitor.execute(
                "insert into partitions (id, epoch, owner, expires_at) values ($1, 1, $2, 'infinity')",
                int(writer.name),
                writer.owner,
            )
        found: Violation | None = None
        try:
            self.readers = [Reader(await self._session()) for _ in range(self.readers_wanted)]
            async with anyio.create_task_group() as group:
                try:
                    for _ in range(STEPS_MAX):
                        await self._step(group)
                    await self._finish()
                    for reader in self.readers:
                        await self._read(reader)
                    await self._check_end()
                except Violation as violation:
                    found = violation
                    group.cancel_scope.cancel()
        finally:
            for session in [w.session for w in self.writers] + [r.session for r in self.readers]:
                session.terminate()
        if found is not None:
            found.add_note("schedule: " + " · ".join(self.schedule))
            raise found

    async def _session(self) -> Session:
        return await asyncpg.connect(self.dsn, server_settings={"search_path": "troupe, public"})

    async def _step(self, group: anyio.abc.TaskGroup) -> None:
        if self.readers and self.rng.random() < 0.3:
            reader = self.rng.choice(self.readers)
            self.schedule.append(f"reader {self.readers.index(reader)} reads after {reader.position}")
            await self._read(reader)
            return
        writer = self.rng.choice(self.writers)
        if writer.running is not None and not writer.running.is_set():
            if self.rng.random() < 0.2:
                await self._kill(writer)
            return  # It waits for a lock.
        if writer.open is None:
            await self._begin(writer, group)
        else:
            await self._end(writer)
        await self._settle()

    async def _begin(self, writer: Writer, group: anyio.abc.TaskGroup) -> None:
        done = anyio.Event()
        writer.running, writer.failure = done, None

        async def write() -> None:
            try:
                await writer.write()
            finally:
                done.set()

        group.start_soon(write)
        await self._settle()
        waits = "" if done.is_set() else " and waits"
        self.schedule.append(f"writer {writer.name} writes {writer.name}-{writer.attempts}{waits}")

    async def _end(self, writer: Writer) -> None:
        """Commit, roll back or die: what the writer wrote is then either acknowledged or must not be found."""
        written = writer.open
        assert written is not None
        if writer.failure is not None or writer.lost:
            # Its streams are its own, at the version it made; and nobody has killed it.
            raise Violation("refused", f"{written.label} was right and was not written: {writer.failure!r}")
        fate = self.rng.choice(["commit", "commit", "commit", "roll back", "kill"])
        self.schedule.append(f"writer {writer.name}: {fate} {written.label}")
        if fate == "kill":
            if self.acknowledge_early:
                self.acknowledged.append(written)
            await self._kill(writer)
            return
        await writer.session.execute("commit" if fate == "commit" else "rollback")
        writer.open = None
        if fate == "commit":
            self.acknowledged.append(written)
            await self._learn(writer)
        else:
            self.dropped.append(written)
            writer.numbers = OptimisticCommits()

    async def _learn(self, writer: Writer) -> None:
        rows = await self.monitor.fetch("select name, version from streams where name like '%-' || $1", writer.name)
        writer.versions = Counter({row["name"]: row["version"] for row in rows})

    async def _kill(self, writer: Writer) -> None:
        self.schedule.append(f"writer {writer.name} is killed")
        await self.monitor.fetchval("select pg_terminate_backend($1, 10000)", writer.pid)
        if writer.running is not None:
            with anyio.fail_after(SETTLE_S_MAX):
                await writer.running.wait()
        writer.session.terminate()
        if writer.open is not None and writer.open not in self.acknowledged:
            self.dropped.append(writer.open)
        writer.open = writer.running = writer.failure = None
        writer.lost = False
        await writer.connect(self.dsn)
        await self._learn(writer)
        await self._settle()

    async def _settle(self) -> None:
        """Until every step that was begun has ended or waits for a lock."""
        with anyio.fail_after(SETTLE_S_MAX):
            for writer in self.writers:
                while writer.running is not None and not writer.running.is_set():
                    if await self.monitor.fetchval(BLOCKED_SQL, writer.pid):
                        break
                    with anyio.move_on_after(POLL_S):
                        await writer.running.wait()

    async def _finish(self) -> None:
        """Everyone ends what they began."""
        while any(writer.open is not None for writer in self.writers):
            ready = [w for w in self.writers if w.open is not None and (w.running is None or w.running.is_set())]
            if not ready:
                raise Violation("refused", "all writers wait for one another")
            await self._end(self.rng.choice(ready))
            await self._settle()

    async def _read(self, reader: Reader) -> None:
        """As every reader of the log does: what lies after the last position. Then, was anything passed unseen?"""
        rows = await reader.session.fetch(EVENTS_SQL, reader.position)
        reader.seen += [(row["position"], row["causation"]) for row in rows]
        reader.position = max([reader.position, *(row["position"] for row in rows)])
        there = [(row["position"], row["causation"]) for row in await reader.session.fetch(EVENTS_SQL, 0)]
        unseen = [row for row in there if row[0] <= reader.position and row not in reader.seen]
        if unseen:
            raise Violation("skip", f"a reader at {reader.position} has passed {unseen[0]} without seeing it")

    async def _check_end(self) -> None:
        rows = await self.monitor.fetch(EVENTS_SQL, 0)
        found = Counter(row["causation"] for row in rows)
        for written in self.acknowledged:
            if found[written.label] != written.events:
                raise Violation(
                    "false acknowledgement",
                    f"{written.label} was acknowledged with {written.events} events, {found[written.label]} are there",
                )
        for written in self.dropped:
            if found[written.label]:
                raise Violation("ghost", f"{written.label} was never acknowledged, and is there")
        self._check_versions(rows)
        if [row["position"] for row in rows] != list(range(1, len(rows) + 1)):
            raise Violation("hole", f"positions are {[row['position'] for row in rows]}")
        if list(dict.fromkeys(row["causation"] for row in rows)) != [w.label for w in self.acknowledged]:
            raise Violation("order", "events do not lie in the order of the commits")
        await self._check_chain(len(rows))

    def _check_versions(self, rows: Sequence[asyncpg.Record]) -> None:
        versions: dict[str, int] = {}
        for row in rows:
            versions[row["name"]] = versions.get(row["name"], 0) + 1
            if row["version"] != versions[row["name"]]:
                raise Violation("version", f"{row['name']} has {row['version']} where {versions[row['name']]} belongs")

    async def _check_chain(self, head: int) -> None:
        before, last = b"", 0
        for row in await self.monitor.fetch("select * from commits order by last_position"):
            made = root(before, last + 1, row["last_position"], row["at"], row["digest"], row["marks"])
            if row["first_position"] != last + 1 or row["root"] != made:
                raise Violation("chain", f"the link of {row['first_position']} does not follow the one before it")
            before, last = row["root"], row["last_position"]
        if last != head:
            raise Violation("chain", f"the chain ends at {last}, the log at {head}")


async def explore(
    dsn: str, monitor: Session, seeds: Sequence[int], acknowledge_early: bool = False, readers: int = READERS
) -> None:
    """Violation, with its seed, for the first seed that finds one."""
    for seed in seeds:
        try:
            await Exploration(dsn, monitor, seed, acknowledge_early, readers).run()
        except Violation as violation:
            violation.add_note(f"seed {seed}")
            raise
