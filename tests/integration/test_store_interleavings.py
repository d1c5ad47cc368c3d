"""No interleaving of writers, group commits, readers and crashes breaks the log; with a guarantee taken out, one does.

`TROUPE_LONG=1` explores thousands of seeds. A seed that once found something stays in FOUND.
"""

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from eventstore.postgres.store import PostgresStore
from tests.kit.interleaving import Violation, explore
from tests.kit.long_mode import rounds

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SEEDS = rounds(usual=20, long=5_000)
MUTANT_SEEDS_MAX = 60
FOUND: tuple[int, ...] = ()

NO_LOCK = "create or replace function lock_log() returns void language sql volatile as $$ select $$"
# As stores do whose positions come from a sequence; the chain would notice, so it goes too.
SEQUENCE = """
    create sequence positions;
    create function numbered() returns trigger language plpgsql as
        $$ begin new.position := nextval('positions'); return new; end $$;
    create trigger numbered before insert on events for each row execute function numbered();
    create or replace function seal(from_position bigint, to_position bigint, digest bytea) returns void
        language sql volatile as $$ select $$
"""


@pytest.fixture
async def monitor(database: str) -> AsyncIterator[Session]:
    """A session on a schema that may be spoiled."""
    async with PostgresStore.open(database):
        pass
    connection: Session = await asyncpg.connect(database, server_settings={"search_path": "troupe, public"})
    try:
        yield connection
    finally:
        connection.terminate()


async def kinds_found(database: str, monitor: Session, wanted: str, readers: int) -> set[str]:
    """The kinds of violations that the first seeds find, up to the wanted one."""
    kinds: set[str] = set()
    for seed in range(MUTANT_SEEDS_MAX):
        await monitor.execute("alter sequence positions restart")
        try:
            await explore(database, monitor, [seed], readers=readers)
        except Violation as violation:
            kinds.add(violation.kind)
        if wanted in kinds:
            break
    return kinds


async def test_no_interleaving_breaks_a_promise(database: str, monitor: Session) -> None:
    await explore(database, monitor, [*FOUND, *range(SEEDS)])


async def test_without_the_lock_right_writers_are_refused(database: str, monitor: Session) -> None:
    """Positions are counted from the last one under a key, so what breaks is not the order: writers collide."""
    await monitor.execute(NO_LOCK)
    with pytest.raises(Violation) as found:
        await explore(database, monitor, range(MUTANT_SEEDS_MAX))
    assert found.value.kind == "refused"


async def test_without_the_lock_and_with_a_sequence_a_reader_skips(database: str, monitor: Session) -> None:
    await monitor.execute(NO_LOCK)
    await monitor.execute(SEQUENCE)
    assert "skip" in await kinds_found(database, monitor, "skip", readers=2)


async def test_without_the_lock_and_the_key_of_versions_a_stream_breaks(database: str, monitor: Session) -> None:
    """Two that write behind whatever is there to one stream both find the same. (Readers would find the skip first.)"""
    await monitor.execute(NO_LOCK)
    await monitor.execute(SEQUENCE)
    await monitor.execute("alter table events drop constraint events_stream_id_version_key")
    assert "version" in await kinds_found(database, monitor, "version", readers=0)


async def test_an_acknowledgement_before_the_commit_is_found_false(database: str, monitor: Session) -> None:
    with pytest.raises(Violation) as found:
        await explore(database, monitor, range(MUTANT_SEEDS_MAX), acknowledge_early=True)
    assert found.value.kind == "false acknowledgement"
