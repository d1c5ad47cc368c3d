"""What a view's tables are made of: rows by key, as values in memory that the projector loads and stores.

A row's type names the columns; the view's SQL file makes the table with the same names (a test holds the two
together) and may add indexes and generated columns, which are no fields. `position` and `at` of every row are the last
event that touched it: whoever looks one up for a change, or adds one, has them set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

_NEVER = datetime.fromtimestamp(0, UTC)


class Row(msgspec.Struct, kw_only=True):
    """A row. Subclasses are `kw_only` too, their fields str, int, float, bool, date, datetime, bytes, any of these or
    None, tuple[str, ...] (a text[] column), or dict[str, Any] (jsonb). A field is given a new value, never changed
    in place."""

    position: int = 0
    at: datetime = _NEVER


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, eq=False)
class Table(Generic[R]):
    """One table of a view.

    `merge(earlier, later)` puts what a later range of the log made of a row into what the ranges before it made.
    `once`: a row is added and never looked up again, so that none is kept in memory. With one of the two for every
    table, a view can be rebuilt in ranges side by side. Sums must then be of whole numbers: those of floats depend on
    the order.
    """

    name: str
    row: type[R]
    key: tuple[str, ...]
    merge: Callable[[R, R], None] | None = None
    once: bool = False

    def key_of(self, row: Any) -> tuple[Any, ...]:
        """The values of a row's key, in the order of `key`."""
        return tuple(getattr(row, name) for name in self.key)
