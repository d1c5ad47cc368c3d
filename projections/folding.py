"""One view folded into one set of tables, page by page. The rows of a page and the checkpoint are one transaction.

The checkpoint moves first, and only from where it is believed to be: of two that fold the same tables one gets the
page, the other is Overtaken and has to begin again from what the database says. So what is held in memory is always
what the tables hold. The transaction does not wait for the disk: a server that loses power may lose the last moments
of a view, rows and checkpoint alike, and they are folded again from the log, which has lost nothing.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import asyncpg

from eventstore import reading
from eventstore.store import Log, Selection
from projections import tables
from projections.errors import PoisonEvent, ProjectionError
from projections.fold import CannotFold, fold
from projections.page import Page
from projections.quarantine import QUARANTINES, Quarantine, Quarantines, quarantined
from projections.rows import Rows
from projections.statement import sql
from projections.storing import load, store
from projections.tables import Connection, Pool, Target
from projections.view import View

FROZEN_MS_MAX = 5_000  # A process that stands still in the middle of a page holds the view's checkpoint for this long.
LOAD_ROUNDS_MAX = 100  # A view that has to look up more rows to find out which rows to look up goes round in circles.


def _begin() -> str:
    return f"begin; set local synchronous_commit = off; set local idle_in_transaction_session_timeout = {FROZEN_MS_MAX}"


class Overtaken(Exception):
    """The checkpoint is not where it was left: another projector is at work, or another build was swapped in."""


class _CannotStore(Exception):
    """The database does not take what these events come to; the message says why."""


class Folding:
    """A view and the tables it is folded into. After any exception but PoisonEvent of `take` begin with a new one."""

    def __init__(self, pool: Pool, view: View, target: Target, left_out: Sequence[Quarantine] = ()) -> None:
        self._pool = pool
        self.view = view
        self.target = target
        self._rows = Rows(view.tables, complete=target.position == target.begins)
        self._quarantines = Quarantines(target.row, left_out)

    @classmethod
    async def begin(cls, pool: Pool, view: View, target: Target) -> "Folding":
        """With what was quarantined before."""
        return cls(pool, view, target, await quarantined(pool, target.row))

    async def take(self, page: Page) -> None:
        """Fold a page. PoisonEvent: an event before it is folded, nothing from it on (where the view stops for one).
        Overtaken, StoreUnavailable: nothing of it is."""
        try:
            await self._fold_and_keep(page)
        except _CannotStore as error:
            if len(page.events) == 1:
                await self._poisoned(page, CannotFold(page.events[0], 0, str(error)))
            else:
                for single in page.singly():  # So that the event is known by name, and what comes before it is folded.
                    await self.take(single)

    async def _fold_and_keep(self, page: Page) -> None:
        try:
            await self._fold(page)
        except CannotFold as error:
            await self._poisoned(page, error)
        else:
            await self._keep(page)

    async def _poisoned(self, page: Page, poison: CannotFold) -> None:
        recorded = poison.recorded
        self._rows.drop()
        if self.view.on_error == "quarantine":
            self._quarantines.begin(recorded, poison.reason)
            await self._fold_and_keep(page)
            return
        if poison.index:
            before = Page(page.events[: poison.index], page.events[poison.index - 1].position)
            await self.take(before)
        raise PoisonEvent(
            self.view.name, recorded.position, recorded.reference, recorded.type, poison.reason
        ) from poison.__cause__

    async def _fold(self, page: Page) -> None:
        """Into memory; what is missing there is loaded first."""
        rows = self._rows
        for _ in range(LOAD_ROUNDS_MAX):
            rows.drop()
            fold(self.view, page, rows, self._quarantines.left_out)
            missing = rows.missing
            if not missing:
                return
            async with self._reading() as connection:
                for table, keys in missing.items():
                    rows.learn(table, await load(connection, self.target.schema, table, keys))
        raise ProjectionError(f"the view {self.view.name} asks for ever more rows at position {page.last}: correct it")

    async def _keep(self, page: Page) -> None:
        """Rows and checkpoint of what was folded, in one transaction."""
        changed = self._rows.changed
        left_out = self._quarantines.counted(page.events) if self._quarantines else []
        target = self.target
        try:
            async with self._writing() as connection:
                await self._advance(connection, page.last)
                for table, rows in changed.items():
                    await store(connection, (table.once and target.apart) or target.schema, table, rows)
                if left_out:
                    await store(connection, target.home, QUARANTINES, left_out)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, OverflowError) as error:
            # Only the kind and the first line: details may quote the event's content.
            self._rows.drop()
            raise _CannotStore(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
        self._rows.keep()
        self._quarantines.keep(left_out)
        self.target = replace(target, position=page.last)

    def _reading(self) -> AbstractAsyncContextManager[Connection]:
        return tables.transaction(self._pool, f"read rows of the view {self.view.name}")

    def _writing(self) -> AbstractAsyncContextManager[Connection]:
        return tables.transaction(self._pool, f"fold the view {self.view.name}", _begin())

    async def _advance(self, connection: Connection, position: int) -> None:
        at = self.target
        moved = await connection.execute(sql("advance_view"), at.row, at.version, at.build, at.position, position)
        if moved != "UPDATE 1":
            raise Overtaken


async def fold_upto(log: Log, folding: Folding, last: int, page_events: int) -> None:
    """Fold up to that position, reading only what the view reads. Whatever `Folding.take` raises."""
    view = folding.view
    wanted = Selection() if view.every else Selection(types=tuple(sorted(view.tags)))
    async for events in reading.pages(log, folding.target.position, last, wanted, page=page_events):
        await folding.take(Page(events, events[-1].position))
    if folding.target.position < last:
        await folding.take(Page((), last))
