"""A disk without room: a typed error, nothing half-written, nothing acknowledged lost, and on it goes with room.

The room is taken by a limit on the size of the server's files: that needs no right to mount anything.
"""

import random
from collections.abc import AsyncIterator

import anyio
import pytest

from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent, StoreFull, StoreUnavailable
from tests.kit.durable import DurablePostgres, durable_postgres
from tests.kit.units import NOON, Owner, actor, statuses, unit

FILE_BYTES_MAX = 24 * 1024 * 1024  # More than a segment of the write-ahead log: what fills up is the table.
BODY_BYTES = 400_000
EVENTS = 8  # Of one append.
APPENDS_MAX = 40
ROUND_S_MAX = 120.0
RETRY_S = 0.05
SEED = 4


@pytest.fixture
async def postgres() -> AsyncIterator[DurablePostgres]:
    async with durable_postgres() as server:
        yield server


async def test_a_full_disk_is_a_clear_error_and_the_same_calls_succeed_once_there_is_room(
    postgres: DurablePostgres,
) -> None:
    rng = random.Random(SEED)
    note = actor("big", kind="note")

    def events() -> list[NewEvent]:
        return [NewEvent("task.noted.v1", rng.randbytes(BODY_BYTES), NOON, "run", "c") for _ in range(EVENTS)]

    async with PostgresStore.open(postgres.dsn):
        pass
    await postgres.restart(FILE_BYTES_MAX)
    async with PostgresStore.open(postgres.dsn) as store:
        owner = await Owner.of(store)
        version, refused, full = 0, events(), None
        while full is None and version < APPENDS_MAX * EVENTS:
            try:
                await store.append(note, refused, version)
                version, refused = version + EVENTS, events()
            except StoreFull as error:
                full = error
        assert full is not None
        assert "room" in str(full)
        assert isinstance(full, StoreUnavailable), "so that the runtime waits and sends the same again"
        batch = owner.batch(unit("a1", events=tuple(events())))
        with pytest.raises(StoreFull):
            await store.commit(batch)
        assert await store.head() == version, "all that was acknowledged, and nothing of what was not"
        assert (await store.stream(note)).version == version

        await postgres.restart()
        with anyio.fail_after(ROUND_S_MAX):
            while True:
                try:
                    assert statuses(await store.commit(batch)) == ["committed"]
                    break
                except StoreUnavailable:
                    await anyio.sleep(RETRY_S)
        assert await store.append(note, refused, version) == version + 2 * EVENTS
        assert (await store.audit.verify()).broken is None
