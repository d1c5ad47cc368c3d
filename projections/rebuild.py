"""Builds a view anew beside the one that is served, of the same version or an older one, and swaps the two.

Readers read the served one until the swap, which is one transaction; a company that runs meanwhile goes on folding it,
and then the new one. Killed at any moment, the same call goes on where it was.
"""

from eventstore.store import Log
from projections import tables
from projections.errors import ProjectionError
from projections.folding import Folding, Overtaken, fold_upto
from projections.projector import PAGE_EVENTS_MAX, SWAP_ROUNDS_MAX, Build
from projections.tables import Pool
from projections.view import View


async def rebuild(
    log: Log, pool: Pool, view: View, build: Build | None = None, page_events: int = PAGE_EVENTS_MAX
) -> int:
    """Build the view anew and have it served; its position then. `build` does the first part (ranges.py).

    NewerView, PoisonEvent (the served one stays), StoreUnavailable.
    """
    if build is not None:
        await build(view, await tables.rebuilding(pool, view))
    for _ in range(SWAP_ROUNDS_MAX):
        folding = await Folding.begin(pool, view, await tables.rebuilding(pool, view))
        try:
            await fold_upto(log, folding, await log.head(), page_events)
        except Overtaken:
            continue  # Another process builds it too.
        if await tables.swap(pool, view):
            return folding.target.position
    raise ProjectionError(
        f"the build of the view {view.name} cannot overtake the served one, which is folded all the time: try again "
        "when less is written"
    )
