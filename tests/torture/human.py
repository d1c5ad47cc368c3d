"""The human who is asked what became of work that may happen once: looks into the provider's books, and answers.

Answers only when everything works again and whoever was at it has surely ended: as people are told to.
"""

from contextlib import suppress
from pathlib import Path

import anyio
import asyncpg

from eventstore.postgres.store import PostgresStore
from eventstore.store import StoreError
from tests.torture.load import PROJECT
from tests.torture.payments import TAKES_S_MAX, payments

LOOK_EVERY_S = 0.5
SURELY_ENDED_S = 2 * TAKES_S_MAX + 1.0


class Human:
    """`answered`: how many questions there were, by answer."""

    def __init__(self, store: PostgresStore, books: Path) -> None:
        self.answered = {"done": 0, "again": 0}
        self._store, self._books = store, books

    async def run(self) -> None:
        """Answer questions until cancelled."""
        await anyio.sleep(SURELY_ENDED_S)
        while True:
            # The connections may be of the time before the server was started again.
            with suppress(OSError, StoreError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._answer()
            await anyio.sleep(LOOK_EVERY_S)

    async def _answer(self) -> None:
        doubted = await self._store.effects.listed(PROJECT, doubted=True)
        paid = {payment.key for payment in payments(self._books)} if doubted else set[str]()
        for effect in doubted:
            answer = "done" if effect.key in paid else "again"
            if await self._store.effects.settle(PROJECT, effect.key, answer, "looked it up"):
                self.answered[answer] += 1
