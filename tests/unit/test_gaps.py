"""Whatever single row beside the log is lost or changed, the gap is named where it is."""

from dataclasses import replace

from eventstore.memory.store import MemoryStore
from eventstore.memory.tables import Tables
from tests.kit.histories import C2, write_history


async def written() -> tuple[MemoryStore, Tables]:
    tables = Tables()
    store = MemoryStore(tables=tables)
    await write_history(store)
    return store, tables


async def test_every_row_of_an_accepted_command_is_missed() -> None:
    store, tables = await written()
    accepted = [(key, row) for key, row in tables.inbox.items() if row.outcome == "accepted"]
    assert len(accepted) > 300
    for key, row in accepted[:: len(accepted) // 60] + accepted[-9:]:
        del tables.inbox[key]
        gap = (await store.gaps.find()).gap
        assert gap is not None
        assert (gap.position, row.id in gap.what) == (row.first_position, True)
        tables.inbox[key] = row
    assert (await store.gaps.find()).gap is None


async def test_a_row_that_says_something_else_is_named() -> None:
    store, tables = await written()
    (key, row), *_ = [(key, row) for key, row in tables.inbox.items() if row.outcome == "accepted"]
    mute = next((key, row) for key, row in tables.inbox.items() if row.outcome == "silent")
    for at, changed in (
        (key, replace(row, first_position=row.first_position + 1)),
        (key, replace(row, events=row.events + 1)),
        (key, replace(row, outcome="silent")),
        (key, replace(row, address=C2)),
        (mute[0], replace(mute[1], outcome="accepted")),
        (mute[0], replace(mute[1], first_position=7, events=1)),
    ):
        before, tables.inbox[at] = tables.inbox[at], changed
        gap = (await store.gaps.find()).gap
        assert gap is not None, changed
        assert at[1] in gap.what
        tables.inbox[at] = before
    assert (await store.gaps.find()).gap is None


async def test_an_event_that_is_gone_is_missed_by_what_it_wanted() -> None:
    """The chain says so too; but what waits says it by itself."""
    store, tables = await written()
    for address in {row.address for row in tables.timers.values()} | {row.address for row in tables.effects.values()}:
        stream, kept = tables.streams[address], list(tables.streams[address].events)
        stream.events.clear()
        gap = (await store.gaps.find()).gap
        assert gap is not None
        assert gap.what.endswith("the event that wanted it is not there")
        stream.events.extend(kept)
