"""Views built anew from the whole log, in one process and in ranges side by side."""

from collections.abc import Sequence
from time import perf_counter

from eventstore.postgres.store import PostgresStore
from projections import event_counts, timeline
from projections.queries import VIEWS
from projections.ranges import PAGE_EVENTS, in_ranges
from projections.rebuild import rebuild
from projections.view import View
from tests.benchmarks.projections.again import again
from tests.benchmarks.runtime.rounds import Lane

ALONE = (event_counts.VIEW, timeline.VIEW)


def lanes(store: PostgresStore, events: int, counts: Sequence[int]) -> Sequence[Lane]:
    """A lane for each of the counts of ranges. The rate of all is of the events, not of the events times the views."""
    mergeable = [view for view in VIEWS if view.by_ranges]
    assert all(view in mergeable for view in ALONE)

    def lane(ranges: int) -> Lane:
        async def run() -> dict[str, float]:
            took = {view.name: await _built(store, view, ranges, events) for view in mergeable}
            rates = {f"rebuild_{view.name}_{ranges}_per_s": events / took[view.name] for view in ALONE}
            return {**rates, f"rebuild_all_{ranges}_per_s": events / sum(took.values())}

        return run

    return [lane(ranges) for ranges in counts]


async def cold_s(store: PostgresStore, events: int, ranges: int) -> float:
    """Seconds of a first rebuild, which has to start its processes; those after it find them there, as anyio keeps
    them."""
    return await _built(store, event_counts.VIEW, ranges, events)


async def _built(store: PostgresStore, view: View, ranges: int, events: int) -> float:
    build = in_ranges(store, ranges, events_min=1) if ranges > 1 else None
    started = perf_counter()
    reached = await again(lambda: rebuild(store, store.pool, view, build, PAGE_EVENTS))
    took = perf_counter() - started
    assert reached == events, f"{reached} of {events} events were folded"
    return took
