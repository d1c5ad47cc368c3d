"""Retired tags in a stored log: a view folds them as what took their place, and a company goes on with them."""

from dataclasses import replace
from random import Random

from actors.runtime.nats_bus import utc_now
from eventstore.postgres.store import PostgresStore
from eventstore.store import Recorded
from projections import event_counts
from projections.event_counts import COUNTS, EventCount
from projections.projector import Projector
from projections.queries import Queries
from projections.rows import Rows
from protocol.message import Event
from protocol.subjects import Address
from tests.kit.clockwork import HandCompany
from tests.unit.test_upcast import KIND, Note, Noted, old_history


def by_author(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """Who noted how often, kept in the table of another view."""
    assert isinstance(event, Noted)
    address = recorded.address
    found = rows.find(COUNTS, address.project, address.kind, event.author)
    counted = found or rows.add(COUNTS, EventCount(project=address.project, kind=address.kind, type=event.author))
    counted.events += 1


AUTHORS = replace(event_counts.VIEW, types=(Noted,), project=by_author, every=False, reads=KIND.event_vocabulary)


async def test_a_stored_history_of_retired_tags_is_read_everywhere(database: str) -> None:
    async with PostgresStore.open(database) as store:
        bodies = await old_history(store)
        company = await HandCompany(store, {"note": KIND}, utc_now, Random(1)).open()
        company.arrive(Address("demo", "note", "n1"), Note(("was",)))
        await company.commit()  # Activated from three versions, and gone on with.
        stream = await store.read_stream(Address("demo", "note", "n1"))
        assert [row.version for row in stream] == [1, 2, 3, 4]
        assert [row.body for row in stream][:3] == bodies
        await Projector(store, store.pool, [AUTHORS]).catch_up()
        counts = {row.type: row.events for row in await Queries(store, store.pool).log_counts("demo", "note")}
        # Of v1 nobody is known, v2 was Ada's; this version's own, and what its actor was told, are ours.
        assert counts == {"nobody": 1, "ada": 1, "us": 2}
