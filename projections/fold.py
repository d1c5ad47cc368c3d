"""Folding a page into rows in memory: pure, and the same for a view that follows the log, is rebuilt, or is checked.

With rows that are `complete` from the beginning this is a whole view without a database: `folded` gives the rows that
any other way of folding the same events must give.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from eventstore.store import Recorded
from projections.page import Page
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.subjects import Address


class CannotFold(Exception):
    """The event that a view cannot fold, its place in the page, and why."""

    def __init__(self, recorded: Recorded, index: int, reason: str) -> None:
        super().__init__(f"{recorded.reference}: {reason}")
        self.recorded = recorded
        self.index = index
        self.reason = reason


_NOTHING: Mapping[Address, int] = {}


def fold(
    view: View, page: Page, rows: Rows, left_out: Mapping[Address, int] = _NOTHING, end: int | None = None
) -> None:
    """What the page's events change in `rows`, before place `end`, and but for the streams that are `left_out` from a
    position on. CannotFold; what was changed until then is still in `rows`, for the caller to drop."""
    project, every, vocabulary, tags = view.project, view.every, view.vocabulary, view.tags
    for index, recorded in enumerate(page.events[:end]):
        wanted = recorded.type in tags
        if not (wanted or every):
            continue
        if left_out and left_out.get(recorded.address, recorded.position + 1) <= recorded.position:
            continue
        rows.begin(recorded.position, recorded.at)
        try:
            project(recorded, page.decoded(index, vocabulary) if wanted else None, rows)
        except Exception as error:
            if rows.missing:
                return  # Folded on less than there is: it is folded again.
            # Whatever a view raises, it is about this event.
            raise CannotFold(recorded, index, f"{type(error).__name__}: {error}") from error


def folded(view: View, events: Iterable[Recorded]) -> dict[Table[Any], dict[tuple[Any, ...], Row]]:
    """The view's rows after these events, by table and key."""
    rows = Rows(view.tables, complete=True)
    listed = list(events)
    fold(view, Page(listed, listed[-1].position if listed else 0), rows)
    return {table: {table.key_of(row): row for row in rows.changed.get(table, [])} for table in view.tables}
