"""The rows that a page of events looks up and changes, in memory; a fold runs on them alone.

A page is folded as if everything it asks for were here. What was not is told afterwards (`missing`): then nothing of
the fold counts, the rows are loaded, and the page is folded again. What a page changed is apart (`changed`) until
`keep` or `drop`, so that memory never holds more than the database does.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from projections.table import R, Row, Table

CACHED_ROWS_MAX = 50_000  # Of one table.


class _Held:
    """What is known of one table."""

    __slots__ = ("complete", "known", "missing", "working")

    def __init__(self, complete: bool) -> None:
        self.known: dict[tuple[Any, ...], Row | None] = {}  # As committed; None: there is no such row.
        self.working: dict[tuple[Any, ...], Row] = {}  # As the page has changed it.
        self.missing: set[tuple[Any, ...]] = set()
        self.complete = complete  # Whether what is not known does not exist.


class Rows:
    """Rows of a view's tables. `complete`: the tables are empty at first, so that nothing needs to be loaded until
    rows have to be let go."""

    def __init__(self, tables: tuple[Table[Any], ...], complete: bool = False) -> None:
        self._held: dict[Table[Any], _Held] = {table: _Held(complete) for table in tables}
        self._position = 0
        self._at = Row().at

    def begin(self, position: int, at: datetime) -> None:
        """The event that is folded next."""
        self._position, self._at = position, at

    def find(self, table: Table[R], *key: Any) -> R | None:
        """The row with that key, for a change; None: there is none."""
        held = self._held[table]
        row = held.working.get(key)
        if row is None:
            before = held.known.get(key)
            if before is None:
                if key not in held.known and not held.complete:
                    held.missing.add(key)
                return None
            copied: Row = cast(Any, before).__copy__()
            row = held.working[key] = copied
        row.position, row.at = self._position, self._at
        return cast(R, row)

    def look(self, table: Table[R], *key: Any) -> R | None:
        """The row with that key, to be read only."""
        held = self._held[table]
        row = held.working.get(key) or held.known.get(key)
        if row is None and not held.complete and key not in held.known:
            held.missing.add(key)
        return cast("R | None", row)

    def add(self, table: Table[R], row: R) -> R:
        """A new row, in the place of one with its key if there is one; may still be changed while the event is
        folded."""
        row.position, row.at = self._position, self._at
        self._held[table].working[table.key_of(row)] = row
        return row

    @property
    def missing(self) -> dict[Table[Any], set[tuple[Any, ...]]]:
        """What was asked for and is not known. Not empty: the fold since `keep` or `drop` does not count."""
        return {table: held.missing for table, held in self._held.items() if held.missing}

    @property
    def changed(self) -> dict[Table[Any], list[Any]]:
        """The rows added or changed since `keep` or `drop`."""
        return {table: list(held.working.values()) for table, held in self._held.items() if held.working}

    def learn(self, table: Table[Any], loaded: Mapping[tuple[Any, ...], Row]) -> None:
        """What the database has of all that is missing of a table."""
        held = self._held[table]
        for key in held.missing:
            held.known[key] = loaded.get(key)
        held.missing.clear()

    def keep(self) -> None:
        """What has changed is committed."""
        for table, held in self._held.items():
            if not table.once:
                for key, row in held.working.items():
                    held.known.pop(key, None)  # So that what was touched last stands last.
                    held.known[key] = row
            held.working = {}
            _let_go(held)

    def drop(self) -> None:
        """What has changed does not count."""
        for held in self._held.values():
            held.working = {}
            held.missing.clear()


def _let_go(held: _Held) -> None:
    excess = len(held.known) - CACHED_ROWS_MAX
    if excess > 0:
        held.complete = False
        for key in list(held.known)[:excess]:
            del held.known[key]
