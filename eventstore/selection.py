"""Which part of the log a reader wants."""

from dataclasses import dataclass
from datetime import datetime

from protocol.subjects import Address


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events a reader wants; None leaves the field open.

    `since` and `until` (with a zone): when the log took the event, since <= time < until, by the database's clock. That
    never goes back along the log; an event's own `at` is the time of the command behind it.
    """

    project: str | None = None
    kind: str | None = None
    name: str | None = None
    types: tuple[str, ...] | None = None
    correlation: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def stream(self) -> Address | None:
        """The one stream that all of it lies in."""
        if self.project is None or self.kind is None or self.name is None:
            return None
        return Address(self.project, self.kind, self.name)
