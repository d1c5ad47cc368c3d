"""Folds the log into views. One task a view; they neither wait for nor stop each other.

A page of events becomes rows, and the view's checkpoint moves, in one transaction: whatever is killed, an event is
folded exactly once. The checkpoint moves first and only from where this projector believes it is, so of two projectors
one gets the page and the other reads on from there. An event that cannot be folded stops its view right before it, as
PoisonEvent: nothing is skipped. An unreachable database is waited for.
"""

import re
from collections.abc import Sequence
from itertools import groupby

import anyio
import asyncpg
import structlog

from eventstore.store import Log, Recorded, StoreError, StoreUnavailable
from projections import tables
from projections.errors import PoisonEvent, ProjectionError, ViewAhead
from projections.statement import Statement, sql
from projections.tables import Pool, Target
from projections.view import View

PAGE_EVENTS_MAX = 500  # One transaction's worth: a reader of the view waits for at most this much at the row locks.
WAIT_S = 5.0  # A lost wake-up delays a view by at most this.
RETRY_DELAY_S_MIN = 0.1
RETRY_DELAY_S_MAX = 5.0
SWAP_ROUNDS_MAX = 1_000  # Rounds a rebuild may run after an older version that is still being folded.
_NAME = re.compile(r"[a-z][a-z_]{0,15}")  # With a schema of 41 and "_next_" this fits PostgreSQL's 63 bytes.

_log = structlog.get_logger("troupe.projector")


class _Overtaken(Exception):
    """The checkpoint is not where this projector left it: another one is at work."""


class _CannotFold(Exception):
    """Somewhere in these events is one the view cannot fold; the message says why."""


class Projector:
    """Keeps `views` up with the log. `failures` holds the error of each view that had to stop, by its name.

    `pool` is on the same database and search path as the log (PostgresStore.pool). Give each view once. At most
    `page_events` are folded in one transaction.
    """

    def __init__(self, log: Log, pool: Pool, views: Sequence[View], page_events: int = PAGE_EVENTS_MAX) -> None:
        names = [view.NAME for view in views]
        if len(set(names)) != len(names):
            raise ValueError(f"two views share a name: {', '.join(names)}")
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"the view name {name!r} must be lower-case letters and _, at most 16 long")
        self._source = log
        self._pool = pool
        self._views = tuple(views)
        self._page_events = page_events
        self._targets: dict[str, Target] = {}
        self.failures: dict[str, ProjectionError] = {}

    async def run(self) -> None:
        """Follow the log until cancelled. Returns by itself only when every view had to stop."""
        async with anyio.create_task_group() as group:
            for view in self._views:
                group.start_soon(self._follow, view)

    async def catch_up(self) -> int:
        """Fold every view up to the log's present end and return that position (at a stopped company, before reading).

        Raises the first ProjectionError, and StoreUnavailable when the database is out of reach.
        """
        head = await self._source.head()
        for view in self._views:
            await self._advance(view, upto=head)
        return head

    async def _follow(self, view: View) -> None:
        delay_s = RETRY_DELAY_S_MIN
        while True:
            try:
                position = await self._advance(view)
                await self._source.wait_beyond(position, WAIT_S)
                delay_s = RETRY_DELAY_S_MIN
            except StoreUnavailable as error:
                _log.warning("view.waiting", view=view.NAME, retry_in_s=delay_s, error=str(error))
                await anyio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_DELAY_S_MAX)
            except (ProjectionError, StoreError) as error:
                failure = error if isinstance(error, ProjectionError) else ProjectionError(f"{view.NAME}: {error}")
                self.failures[view.NAME] = failure
                _log.error("view.stopped", view=view.NAME, kind=type(error).__name__, error=str(error))
                return

    async def _advance(self, view: View, upto: int | None = None) -> int:
        """Fold until nothing is left (up to `upto`); the position reached. A version being built is swapped in then."""
        rounds = 0
        while True:
            target = self._targets.pop(view.NAME, None) or await self._target(view)
            try:
                target = await self._fold_all(view, target, None if target.building else upto)
            except _Overtaken:
                continue  # Somebody else moved the view on, so this ends where the log ends.
            if not target.building:
                self._targets[view.NAME] = target
                return target.position
            if await tables.swap(self._pool, view):
                _log.info("view.rebuilt", view=view.NAME, version=view.VERSION, position=target.position)
            elif (rounds := rounds + 1) > SWAP_ROUNDS_MAX:
                raise ProjectionError(
                    f"version {view.VERSION} of the view {view.NAME} reached position {target.position} and cannot "
                    "overtake the served version: stop the programs of the older version and start again"
                )

    async def _target(self, view: View) -> Target:
        target = await tables.prepare(self._pool, view)
        head = await self._source.head()
        if target.position > head:
            raise ViewAhead(
                f"the view {view.NAME} stands at position {target.position}, the log ends at {head}: the log was "
                "restored to an earlier state or lost; restore both from one backup"
            )
        if target.building and target.position == 0:
            _log.info("view.rebuilding", view=view.NAME, version=view.VERSION, events=head)
        return target

    async def _fold_all(self, view: View, target: Target, upto: int | None) -> Target:
        while page := await self._source.read(target.position, self._page_events, upto):
            try:
                target = await self._fold(view, target, page)
            except _CannotFold:
                target = await self._fold_singly(view, target, page)
        return target

    async def _fold_singly(self, view: View, target: Target, page: Sequence[Recorded]) -> Target:
        """One event a transaction: what comes before the poisonous event is folded, and the event is known by name."""
        for recorded in page:
            try:
                target = await self._fold(view, target, [recorded])
            except _CannotFold as error:
                raise PoisonEvent(
                    view.NAME, recorded.position, recorded.reference, recorded.type, str(error)
                ) from error.__cause__
        return target

    async def _fold(self, view: View, target: Target, page: Sequence[Recorded]) -> Target:
        """Rows and checkpoint of these events in one transaction; the target at its new position."""
        statements = _project(view, page)
        position = page[-1].position
        try:
            async with tables.transaction(self._pool, f"fold the view {view.NAME}") as connection:
                await connection.execute(f"set local search_path to {target.search_path}")
                moved = await connection.execute(
                    sql("advance_view"), target.row, target.version, target.position, position
                )
                if moved != "UPDATE 1":
                    raise _Overtaken
                # Neighbours of one name go together: a round trip for them all, in their order.
                for name, group in groupby(statements, key=lambda statement: statement.name):
                    await connection.executemany(sql(name), [statement.bound for statement in group])
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            # Only the kind and the first line: details may quote the event's content.
            raise _CannotFold(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
        return Target(target.row, target.version, position, target.search_path, target.building)


def _project(view: View, page: Sequence[Recorded]) -> list[Statement]:
    try:
        return [statement for recorded in page for statement in view.project(recorded)]
    except Exception as error:  # Whatever a view raises, it is about an event of this page, which is then named.
        raise _CannotFold(f"{type(error).__name__}: {error}") from error
