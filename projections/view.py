"""The shape of a view: a value with a name, a version, tables, and one pure function."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Table
from protocol.codec import Vocabulary
from protocol.message import Event
from protocol.retired import vocabulary_of

OnError = Literal["stop", "quarantine"]


@dataclass(frozen=True, eq=False)
class View:
    """What the projector needs of a view. See README.md for how to add one.

    name: its row in `views`, lower-case letters and _, at most 16 long (it becomes part of a schema's name).
    version: counts from 1; raised whenever the same log would give other rows or tables: the view rebuilds itself.
    schema: the SQL file that creates the tables and their indexes.
    types: the events it reads; `project` gets them decoded. With `every` it also sees all others, as None.
    project: what an event changes. Pure; sees every event once, in order; knows earlier ones by the view's rows only.
    on_error: what an event it cannot fold does. stop: the view stands right before it. quarantine: the event's stream
    is left out of this view from there on, and listed, until the view is rebuilt.
    reads: the vocabulary of `types`, where they have retired tags of their own (default: the protocol's).
    """

    name: str
    version: int
    schema: str
    tables: tuple[Table[Any], ...]
    types: tuple[type[Event], ...]
    project: Callable[[Recorded, Event | None, Rows], None]
    every: bool = False
    on_error: OnError = "stop"
    reads: Vocabulary[Event] | None = None

    @cached_property
    def vocabulary(self) -> Vocabulary[Event]:
        """What it decodes."""
        return self.reads or vocabulary_of(self.types)

    @cached_property
    def tags(self) -> frozenset[str]:
        """The types it reads, as the log has them."""
        return self.vocabulary.tags

    @property
    def by_ranges(self) -> bool:
        """Whether ranges of the log can be folded apart and put together."""
        # A stream that is left out from one range on would have to be known in the next.
        return self.on_error == "stop" and all(table.once or table.merge is not None for table in self.tables)
