"""The timeline: every event of the log by its correlation, so that reading what one command led to is one index range.

Of each event its place, stream, type and cause; its body is in the log. A line depends on its event alone.
"""

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event


class Moment(Row, kw_only=True):
    """One event: the `version` of the stream `kind`/`name`."""

    project: str
    correlation: str
    kind: str
    name: str
    version: int
    type: str
    causation: str


TIMELINE = Table("timeline", Moment, ("project", "correlation", "position"), once=True)


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """The event's own line."""
    address = recorded.address
    moment = Moment(
        project=address.project,
        correlation=recorded.correlation,
        kind=address.kind,
        name=address.name,
        version=recorded.version,
        type=recorded.type,
        causation=recorded.causation,
    )
    rows.add(TIMELINE, moment)


VIEW = View("timeline", 1, "timeline_schema", (TIMELINE,), (), project, every=True)
