"""Folds the log into views. One task a view; they neither wait for nor stop each other.

A page of events becomes rows, and the view's checkpoint moves, in one transaction (folding.py): whatever is killed, an
event is folded exactly once. Of two projectors one gets a page and the other reads on from there. An event that cannot
be folded stops its view right before it, as PoisonEvent, or has its stream left out and listed, as the view says:
nothing is skipped without a word. An unreachable database is waited for.
"""

import re
from collections.abc import Awaitable, Callable, Sequence

import anyio
import structlog

from eventstore.store import Log, StoreError, StoreUnavailable
from projections import tables
from projections.errors import ProjectionError, ViewAhead
from projections.folding import Folding, Overtaken
from projections.pages import Pages
from projections.tables import Pool, Target
from projections.view import View

PAGE_EVENTS_MAX = 1_000  # One transaction's worth.
WAIT_S = 5.0  # A lost wake-up delays a view by at most this.
PAUSE_S = 0.05  # Between two pages of a view that has caught up: many small commits share a transaction.
RETRY_DELAY_S_MIN = 0.1
RETRY_DELAY_S_MAX = 5.0
SWAP_ROUNDS_MAX = 1_000  # Rounds a rebuild may run after an older version that is still being folded.
_NAME = re.compile(r"[a-z][a-z_]{0,15}")  # With a schema of 41 and "_next_" this fits PostgreSQL's 63 bytes.

Build = Callable[[View, Target], Awaitable[None]]
"""Folds a build beside up to about the head in a quicker way than page after page (ranges.py)."""

_log = structlog.get_logger("troupe.projector")


class Projector:
    """Keeps `views` up with the log. `failures` holds the error of each view that had to stop, by its name.

    `pool` is on the same database and search path as the log (PostgresStore.pool). Give each view once. At most
    `page_events` are folded in one transaction. `build`: see Build.
    """

    def __init__(
        self, log: Log, pool: Pool, views: Sequence[View], page_events: int = PAGE_EVENTS_MAX,
        build: Build | None = None,
    ) -> None:  # fmt: skip
        names = [view.name for view in views]
        if len(set(names)) != len(names):
            raise ValueError(f"two views share a name: {', '.join(names)}")
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"the view name {name!r} must be lower-case letters and _, at most 16 long")
        self._source = log
        self._pool = pool
        self._views = tuple(views)
        self._pages = Pages(log, page_events)
        self._build = build
        self._folding: dict[str, Folding] = {}
        self.failures: dict[str, ProjectionError] = {}

    async def run(self) -> None:
        """Follow the log until cancelled. Returns by itself only when every view had to stop."""
        async with anyio.create_task_group() as group:
            for view in self._views:
                group.start_soon(self._follow, view)

    async def catch_up(self) -> int:
        """Fold every view up to the log's present end and return that position (at a stopped company, before reading).

        Raises the error of the first view that has one, once the others are there: a ProjectionError, or
        StoreUnavailable when the database is out of reach.
        """
        head = await self._source.head()
        failed: dict[str, StoreError | ProjectionError] = {}

        async def advance(view: View) -> None:
            try:
                await self._advance(view, upto=head)
            except (StoreError, ProjectionError) as error:
                failed[view.name] = error

        async with anyio.create_task_group() as group:  # Side by side, so that they read and decode each page once.
            for view in self._views:
                group.start_soon(advance, view)
        for view in self._views:
            if view.name in failed:
                raise failed[view.name]
        return head

    async def _follow(self, view: View) -> None:
        delay_s = RETRY_DELAY_S_MIN
        while True:
            try:
                position = await self._advance(view)
                await anyio.sleep(PAUSE_S)
                await self._pages.beyond(position, WAIT_S)
                delay_s = RETRY_DELAY_S_MIN
            except StoreUnavailable as error:
                _log.warning("view.waiting", view=view.name, retry_in_s=delay_s, error=str(error))
                await anyio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_DELAY_S_MAX)
            except (ProjectionError, StoreError) as error:
                failure = error if isinstance(error, ProjectionError) else ProjectionError(f"{view.name}: {error}")
                self.failures[view.name] = failure
                _log.error("view.stopped", view=view.name, kind=type(error).__name__, error=str(error))
                return

    async def _advance(self, view: View, upto: int | None = None) -> int:
        """Fold until nothing is left (up to `upto`); the position reached. A build beside is swapped in then."""
        rounds = 0
        while True:
            # Kept only after a page went well: whatever else happened, the database says where to go on.
            folding = self._folding.pop(view.name, None) or await self._begin(view)
            building = folding.target.building
            try:
                await self._fold_all(folding, None if building else upto)
            except Overtaken:
                continue  # Somebody else moved the view on, so this ends where the log ends.
            if not building:
                self._folding[view.name] = folding
                return folding.target.position
            if await tables.swap(self._pool, view):
                _log.info("view.rebuilt", view=view.name, version=view.version, position=folding.target.position)
            elif (rounds := rounds + 1) > SWAP_ROUNDS_MAX:
                raise ProjectionError(
                    f"version {view.version} of the view {view.name} reached position {folding.target.position} and "
                    "cannot overtake the served version: stop the programs of the older version and start again"
                )

    async def _begin(self, view: View) -> Folding:
        target = await tables.prepare(self._pool, view)
        head = await self._source.head()
        if target.position > head:
            raise ViewAhead(
                f"the view {view.name} stands at position {target.position}, the log ends at {head}: the log was "
                "restored to an earlier state or lost; restore both from one backup"
            )
        if target.building and target.position == 0:
            _log.info("view.rebuilding", view=view.name, version=view.version, events=head)
        if target.building and self._build is not None:
            await self._build(view, target)
            target = await tables.prepare(self._pool, view)
        return await Folding.begin(self._pool, view, target)

    async def _fold_all(self, folding: Folding, upto: int | None) -> None:
        while page := await self._pages.after(folding.target.position, upto):
            await folding.take(page)
