"""The shape of a view: a module with a name, a version, a schema and one pure function."""

from collections.abc import Iterator
from typing import Protocol

from eventstore.store import Recorded
from projections.statement import Statement


class View(Protocol):
    """What the projector needs of a view's module. See README.md for how to add one."""

    @property
    def NAME(self) -> str:
        """Its row in `views`: lower-case letters and _, at most 16 long (it becomes part of a schema's name)."""
        ...

    @property
    def VERSION(self) -> int:
        """Counts from 1. Raise it whenever the same log would give other rows or tables: the view rebuilds itself."""
        ...

    @property
    def SCHEMA(self) -> str:
        """The SQL file that creates the view's tables (tables and their indexes only)."""
        ...

    def project(self, recorded: Recorded) -> Iterator[Statement]:
        """What this event changes. Pure; sees every event of the log once, in order, and picks what it knows."""
        ...
