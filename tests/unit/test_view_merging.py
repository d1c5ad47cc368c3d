"""Views that are rebuilt in ranges: folded apart and put together, the rows are those of one fold."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from eventstore.store import Recorded
from projections.fold import folded
from projections.queries import VIEWS
from projections.table import Row, Table
from projections.view import View
from tests.kit.board_run import arbitrary_run, recorded, small_run

BY_RANGES = [view for view in VIEWS if view.by_ranges]

Rows = dict[Table[Any], dict[tuple[Any, ...], Row]]


def put_together(view: View, ranges: list[list[Recorded]]) -> Rows:
    """Each range folded on its own, then merged in the order of the log."""
    whole: Rows = {table: {} for table in view.tables}
    for each in ranges:
        for table, rows in folded(view, each).items():
            for key, row in rows.items():
                before = whole[table].setdefault(key, row)
                if before is not row:
                    assert table.merge is not None
                    table.merge(before, row)
                    before.position, before.at = row.position, row.at
    return whole


def test_these_views_are_rebuilt_in_ranges() -> None:
    assert {"event_counts", "tool_runs", "memory_stats", "dead_letters"} <= {view.name for view in BY_RANGES}


@pytest.mark.parametrize("view", BY_RANGES, ids=lambda view: view.name)
@pytest.mark.parametrize("seed", range(8))
def test_ranges_put_together_are_one_fold(view: View, seed: int) -> None:
    chance = Random(seed)
    log = recorded([*small_run(), *arbitrary_run(seed, 400)])
    cuts = sorted(chance.sample(range(len(log)), chance.randint(1, 5)))
    bounds = [0, *cuts, len(log)]
    whole = folded(view, log)
    assert all(whole.values()), "every table has rows"
    ranges = [log[first:last] for first, last in pairwise(bounds)]
    assert put_together(view, ranges) == whole
