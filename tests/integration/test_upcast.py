"""Retired tags in a stored log: a view folds them as what took their place, and a company goes on with them."""

from collections.abc import Iterator
from random import Random

from actors.runtime.nats_bus import utc_now
from eventstore.postgres.store import PostgresStore
from eventstore.store import Recorded
from projections.projector import Projector
from projections.queries import Queries
from projections.statement import Statement
from protocol.subjects import Address
from tests.kit.clockwork import HandCompany
from tests.unit.test_upcast import KIND, Note, Noted, old_history


class Authors:
    """Who noted how often, kept in the tables of another view."""

    NAME, VERSION, SCHEMA = "event_counts", 1, "event_counts_schema"

    def project(self, recorded: Recorded) -> Iterator[Statement]:
        if recorded.type in KIND.event_vocabulary:
            event = KIND.event_vocabulary.decode(recorded.body, recorded.type)
            assert isinstance(event, Noted)
            about = (recorded.address.project, recorded.address.kind, event.author, recorded.at, recorded.position)
            yield Statement("event_counts_counted", about)


async def test_a_stored_history_of_retired_tags_is_read_everywhere(database: str) -> None:
    async with PostgresStore.open(database) as store:
        bodies = await old_history(store)
        company = await HandCompany(store, {"note": KIND}, utc_now, Random(1)).open()
        company.arrive(Address("demo", "note", "n1"), Note(("was",)))
        await company.commit()  # Activated from three versions, and gone on with.
        stream = await store.read_stream(Address("demo", "note", "n1"))
        assert [row.version for row in stream] == [1, 2, 3, 4]
        assert [row.body for row in stream][:3] == bodies
        await Projector(store, store.pool, [Authors()]).catch_up()
        counts = {row.type: row.events for row in await Queries(store, store.pool).log_counts("demo", "note")}
        # Of v1 nobody is known, v2 was Ada's; this version's own, and what its actor was told, are ours.
        assert counts == {"nobody": 1, "ada": 1, "us": 2}
