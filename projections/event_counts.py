"""How many events of each type a project has, by the kind of their stream. Every event counts, whatever its type."""

from collections.abc import Iterator

from eventstore.store import Recorded
from projections.statement import Statement

NAME = "event_counts"
VERSION = 1
SCHEMA = "event_counts_schema"


def project(recorded: Recorded) -> Iterator[Statement]:
    """One more of its type."""
    address = recorded.address
    yield Statement(
        "event_counts_counted", (address.project, address.kind, recorded.type, recorded.at, recorded.position)
    )
