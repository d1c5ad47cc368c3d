"""The timeline, folded in memory."""

from eventstore.store import Recorded
from projections.fold import folded
from projections.timeline import TIMELINE, VIEW, Moment
from protocol.subjects import Address
from tests.kit.board_run import BEGIN, troubled_run
from tests.kit.folds import rows_of


def test_every_event_has_its_line_under_its_correlation() -> None:
    run = troubled_run()
    rows = rows_of(VIEW, TIMELINE, run)
    assert [(row.correlation, row.kind, row.name, row.type, row.causation, row.at) for row in rows] == [
        (each.correlation, each.address.kind, each.address.name, each.new().type, "c", each.new().at) for each in run
    ]
    assert [row.position for row in rows if row.correlation == "t3"] == [3, 8, 13]


def test_it_asks_nothing_of_an_event_but_where_it_stands() -> None:
    """No type is unknown to it, and no body is read."""
    strange = Recorded(9, Address("demo", "memory", "main"), 4, "memory.dreamt.v7", BEGIN, "t1", "c8", b"\xff")
    (row,) = rows_of_recorded(strange)
    assert (row.position, row.kind, row.name, row.version, row.type) == (9, "memory", "main", 4, "memory.dreamt.v7")
    assert (row.project, row.correlation, row.causation) == ("demo", "t1", "c8")


def rows_of_recorded(recorded: Recorded) -> list[Moment]:
    return [row for row in folded(VIEW, [recorded])[TIMELINE].values() if isinstance(row, Moment)]
