"""What was acknowledged is there, once and in order, however often the database crashes under load.

Linux only: the server's processes are found under /proc. Hundreds of crashes:
`TROUPE_LONG=1 bin/test -s tests/integration/test_store_crashes.py`.
"""

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import anyio
import pytest

from eventstore.postgres.store import PostgresStore
from eventstore.reading import events as read_events
from eventstore.store import Append, EventStore, NewEvent, StoreUnavailable, StreamWrite, Unit
from protocol.subjects import Address
from tests.kit.durable import DurablePostgres, durable_postgres
from tests.kit.long_mode import rounds
from tests.kit.units import NOON, Owner, external

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the server's processes under /proc")

T = TypeVar("T")
CYCLES = rounds(usual=3, long=300)
SEED = 20261121
PLAIN_WRITERS = 6
ACTORS = 6
BETWEEN_CRASHES_MAX = 120  # Acknowledgements.
ROUND_S_MAX = 240.0
RETRY_S = 0.02


@pytest.fixture
async def postgres() -> AsyncIterator[DurablePostgres]:
    async with durable_postgres() as server:
        yield server


class Load:
    """Writers that send the same until it is acknowledged, and what they were told."""

    def __init__(self, store: EventStore, owner: Owner, rng: random.Random) -> None:
        self.store, self.owner, self.rng = store, owner, rng
        self.acknowledged: Counter[str] = Counter()
        self.positions: dict[tuple[str, int], int] = {}
        self.stirred = anyio.Event()
        self.stopping = False

    def _told(self, writer: str, position: int) -> None:
        self.acknowledged[writer] += 1
        self.positions[writer, self.acknowledged[writer]] = position
        self.stirred.set()
        self.stirred = anyio.Event()

    async def plain(self, number: int) -> None:
        """Appends to two streams at once, told again by id or by version."""
        writer = f"plain-{number}"
        own, other = Address("demo", "note", writer), Address("demo", "copy", writer)
        while not self.stopping:
            n = self.acknowledged[writer] + 1
            events = (_event(writer, n),)
            by_id = n % 2 == 0
            append = Append(
                (StreamWrite(own, events, None if by_id else n - 1), StreamWrite(other, events, n - 1)),
                f"{writer}-{n}" if by_id else "",
            )
            (done,) = await self._until(lambda append=append: self.store.append_all([append]))
            assert done.status in ("committed", "known"), done
            self._told(writer, done.first_position)

    async def single(self, number: int) -> None:
        """The comfortable append, which looks a lost outcome up by itself."""
        writer = f"single-{number}"
        address = Address("demo", "note", writer)
        while not self.stopping:
            n = self.acknowledged[writer] + 1
            position = await self._until(
                lambda n=n: self.store.append(address, [_event(writer, n)], n - 1, f"{writer}-{n}")
            )
            self._told(writer, position)

    async def actor(self, number: int) -> None:
        """Fenced commits; one whose outcome was lost is sent again and known."""
        writer = f"actor-{number}"
        address = Address("demo", "task", writer)
        while not self.stopping:
            n = self.acknowledged[writer] + 1
            command = f"{writer}-{n}"
            unit = Unit(0, address, n - 1, (external(command),), (_event(writer, n, command),))
            batch = self.owner.batch(unit, cursor=n, witness=command)
            (verdict,) = await self._until(lambda batch=batch: self.store.commit(batch))
            assert verdict.status in ("committed", "known"), verdict
            position = verdict.first_position
            if verdict.status == "known":
                rows = await self._until(lambda command=command: self.store.inbox("demo", [command]))
                position = rows[command].first_position
            self._told(writer, position)

    async def _until(self, call: Callable[[], Awaitable[T]]) -> T:
        """Until the store answers."""
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await anyio.sleep(RETRY_S)

    async def acknowledgements(self, wanted: int) -> None:
        """Wait until so many more have come."""
        goal = sum(self.acknowledged.values()) + wanted
        while sum(self.acknowledged.values()) < goal:
            await self.stirred.wait()


def _event(writer: str, n: int, causation: str = "load") -> NewEvent:
    return NewEvent("task.noted.v1", json.dumps({"writer": writer, "n": n}).encode(), NOON, "run", causation)


async def check(store: EventStore, load: Load) -> int:
    """Both sides agree; how many events there are."""
    streams: dict[Address, list[int]] = {}
    last = 0
    async for recorded in read_events(store):
        last += 1
        assert recorded.position == last, "positions are dense"
        body = json.loads(recorded.body)
        numbers = streams.setdefault(recorded.address, [])
        numbers.append(body["n"])
        assert recorded.version == len(numbers)
        if recorded.address.kind != "copy":
            assert load.positions[body["writer"], body["n"]] == recorded.position, "where its writer was told it is"
    for address, numbers in streams.items():
        assert numbers == list(range(1, load.acknowledged[address.name] + 1)), f"{address}: once each, in order"
    assert {address.name for address in streams} == {name for name, count in load.acknowledged.items() if count}
    return last


async def crash(postgres: DurablePostgres, rng: random.Random) -> None:
    """The whole server, or one backend, upon which the server starts all its processes anew."""
    backends = postgres.backends()
    if backends and rng.random() < 0.3:
        os.kill(rng.choice(backends), signal.SIGKILL)
        return
    pid = postgres.pid
    postgres.quit()
    with anyio.fail_after(ROUND_S_MAX):
        while _lives(pid):
            await anyio.sleep(RETRY_S)
    await postgres.start()


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_what_was_acknowledged_survives_crashes_under_load(postgres: DurablePostgres) -> None:
    rng = random.Random(SEED)
    async with PostgresStore.open(postgres.dsn) as store:
        load = Load(store, await Owner.of(store), rng)
        async with anyio.create_task_group() as group:
            for number in range(PLAIN_WRITERS):
                group.start_soon(load.plain, number)
                group.start_soon(load.single, number)
            for number in range(ACTORS):
                group.start_soon(load.actor, number)
            for _ in range(CYCLES):
                with anyio.fail_after(ROUND_S_MAX):
                    await load.acknowledgements(rng.randrange(1, BETWEEN_CRASHES_MAX))
                    await crash(postgres, rng)
            with anyio.fail_after(ROUND_S_MAX):
                await load.acknowledgements(BETWEEN_CRASHES_MAX)
            load.stopping = True
        found = await check(store, load)
        told = sum(load.acknowledged.values())
        copies = sum(count for name, count in load.acknowledged.items() if name.startswith("plain"))
        assert found == told + copies, "nothing is there that nobody sent"
        assert (await store.audit.verify()).broken is None
    sys.stderr.write(f"crashes: {CYCLES}, acknowledged: {told}, events found: {found}\n")
