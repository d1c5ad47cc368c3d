"""What tests of one view share: events in memory, folded, and the rows they come to."""

from collections.abc import Sequence
from typing import TypeVar

from projections.fold import folded
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.subjects import Address
from tests.kit.board_run import Happened, recorded

R = TypeVar("R", bound=Row)


def happened(kind: str, event: Event, name: str = "t1", second: int = 0, project: str = "demo") -> Happened:
    """An event in the stream of that kind and name, caused by the task t1."""
    return Happened(Address(project, kind, name), event, "t1", second)


def rows_of(view: View, table: Table[R], run: Sequence[Happened]) -> list[R]:
    """A table's rows after the run, in the order in which they came about; the run's events stand at 1, 2, 3, …"""
    return [row for row in folded(view, recorded(run))[table].values() if isinstance(row, table.row)]
