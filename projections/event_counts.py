"""How many events of each type a project has, by the kind of their stream. Every event counts, whatever its type."""

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event


class EventCount(Row, kw_only=True):
    """One type in the streams of one kind. `last_at`: the time the last event carries."""

    project: str
    kind: str
    type: str
    events: int = 0


def _later(earlier: EventCount, later: EventCount) -> None:
    earlier.events += later.events


COUNTS = Table("event_counts", EventCount, ("project", "kind", "type"), merge=_later)


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """One more of its type."""
    kind, name = recorded.address.kind, recorded.address.project
    count = rows.find(COUNTS, name, kind, recorded.type)
    if count is None:
        count = rows.add(COUNTS, EventCount(project=name, kind=kind, type=recorded.type))
    count.events += 1


VIEW = View("event_counts", 2, "event_counts_schema", (COUNTS,), (), project, every=True)
