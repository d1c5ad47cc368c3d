"""What can be asked of a view's table: a value of a few lines.

Every listing has the same order, newest first: by its time, then position, then key. So a time range is a range of the
order too, pages neither repeat nor skip a row that did not change in between, and one index is right for all of it:
`(project, <time> desc)`, and for a filter `(project, <filter>, <time> desc)`, both with `position desc` behind where
many rows share a time (a test sees to them). Filters are an allow-list of columns. The key's are among them, so that
one row can be asked for, but as in an index: each only with those before it. No personal column is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from projections.personal import PERSONAL_COLUMNS
from projections.table import Row, Table
from projections.view import View
from protocol.personal import personal_fields


@dataclass(frozen=True)
class Among:
    """A row has failed while that column has one of these values."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Above:
    """A row has failed while that column is more than 0."""

    column: str


@dataclass(frozen=True, eq=False)
class Listing:
    """One table of a view, as it can be asked for.

    part: sets it apart from the view's main listing: `<view>.<part>`. filters: columns that may be filtered by alone,
    beside the first of the key. time: the column of time ranges and of the order, a datetime or a date (its beginning
    in UTC), never None. failed: what makes a row a failed one, any of these; nothing: no row ever is. typed: columns
    that the table generates beside the fields of its rows, with their types, and fields whose type says more than the
    row's does. few: its rows grow with what a project has, not with what happens in it, so that no filter needs an
    index, and those of the key none before them.
    """

    view: View
    table: Table[Any]
    part: str = ""
    filters: tuple[str, ...] = ()
    time: str = "at"
    failed: tuple[Among | Above, ...] = ()
    typed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    few: bool = False
    alone: frozenset[str] = field(init=False, repr=False)
    row: type[msgspec.Struct] = field(init=False)
    hints: Mapping[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "row", _with(self.table.row, self.typed))
        object.__setattr__(self, "alone", frozenset({*_of_project(self.table)[:1], *self.filters}))
        object.__setattr__(self, "filters", tuple(dict.fromkeys((*_of_project(self.table), *self.filters))))
        object.__setattr__(self, "hints", {name: bare(hint)[0] for name, hint in get_type_hints(self.row).items()})
        self._check()

    @property
    def name(self) -> str:
        """What it is asked by."""
        return f"{self.view.name}.{self.part}" if self.part else self.view.name

    @property
    def order(self) -> tuple[str, ...]:
        """The columns it is ordered by, each from the greatest to the least; together they are unique in a project."""
        return tuple(dict.fromkeys((self.time, "position", *_of_project(self.table))))

    def needs(self, name: str) -> tuple[str, ...]:
        """The filters without which that one would look at every row."""
        key = _of_project(self.table)
        return () if self.few or name in self.alone or name not in key else key[: key.index(name)]

    @property
    def dated(self) -> bool:
        """Whether its time is a day."""
        return self.hints[self.time] is date

    def _check(self) -> None:
        personal = PERSONAL_COLUMNS.get(self.table.name, frozenset()) | personal_fields(self.row).keys()
        named = {*self.filters, *self.order, *(each.column for each in self.failed)}
        if "project" not in self.table.key:
            raise ValueError(f"{self.name}: a table without the project in its key cannot be listed")
        for name in sorted(named):
            if name not in self.hints or name in personal:
                raise ValueError(f"{self.name}: {name} is no column, or one with personal text")
        for name in self.order:
            if bare(get_type_hints(self.row)[name])[1]:
                raise ValueError(f"{self.name}: {name} may be null, so no order can be made of it")
        if self.hints[self.time] not in (datetime, date):
            raise ValueError(f"{self.name}: {self.time} is no time")


def bare(hint: Any) -> tuple[Any, bool]:
    """A column's type without None, and whether it may be None."""
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    parts = [part for part in get_args(hint) if part is not type(None)]
    assert len(parts) == 1, "a column has one type"
    return parts[0], True


def is_text(hint: Any) -> bool:
    """Whether the column holds text."""
    return hint is str or get_origin(hint) is Literal


def _of_project(table: Table[Any]) -> tuple[str, ...]:
    """The key within a project."""
    return tuple(name for name in table.key if name != "project")


def _with(row: type[Row], typed: Mapping[str, Any]) -> type[msgspec.Struct]:
    if not typed:
        return row
    fields = [(name, hint) for name, hint in typed.items()]
    made = msgspec.defstruct(row.__name__, fields, bases=(row,), kw_only=True, module=row.__module__)
    made.__doc__ = row.__doc__
    return made
