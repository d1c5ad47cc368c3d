"""Streams that a view leaves out because it could not fold one of their events. Nothing is skipped without a word: each
is a row of `view_quarantines`, with the event, the reason, and how many of its events the view did not see.

The rows move in the same transaction as the view's own. They are gone when the view is built anew.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from eventstore.store import Recorded
from projections.statement import sql
from projections.table import Row, Table
from projections.tables import Pool, transaction
from protocol.subjects import Address

REASON_LENGTH_MAX = 500  # Characters.


class Quarantine(Row, kw_only=True):
    """One stream; `view` is the view's row in `views`, `position` the last event that was left out."""

    view: str
    project: str
    kind: str
    name: str
    first_position: int
    reason: str
    events: int = 0


QUARANTINES = Table("view_quarantines", Quarantine, ("view", "project", "kind", "name"))


class Quarantines:
    """The quarantined streams of one view."""

    def __init__(self, view: str, known: Iterable[Quarantine] = ()) -> None:
        self._view = view
        self._known = {Address(one.project, one.kind, one.name): one for one in known}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def left_out(self) -> dict[Address, int]:
        """From which position on each stream is left out."""
        return {address: one.first_position for address, one in self._known.items()}

    def begin(self, recorded: Recorded, reason: str) -> None:
        """From this event on its stream is left out."""
        address = recorded.address
        self._known[address] = Quarantine(
            view=self._view, project=address.project, kind=address.kind, name=address.name,
            first_position=recorded.position, reason=reason[:REASON_LENGTH_MAX],
        )  # fmt: skip

    def counted(self, events: Iterable[Recorded]) -> list[Quarantine]:
        """The rows as they are after these events, which are folded now; `keep` them once they are committed."""
        changed: dict[Address, Quarantine] = {}
        for recorded in events:
            address = recorded.address
            one = changed.get(address) or self._known.get(address)
            if one is not None and recorded.position >= one.first_position:
                changed[address] = replace(one, events=one.events + 1, position=recorded.position, at=recorded.at)
        return list(changed.values())

    def keep(self, counted: Iterable[Quarantine]) -> None:
        """They are committed."""
        self._known |= {Address(one.project, one.kind, one.name): one for one in counted}


async def quarantined(pool: Pool, view: str) -> list[Quarantine]:
    """The quarantined streams of the view with that row in `views`, the first first."""
    async with transaction(pool, f"read what the view {view} leaves out") as connection:
        return [msgspec.convert(dict(row), Quarantine) for row in await connection.fetch(sql("list_quarantines"), view)]
