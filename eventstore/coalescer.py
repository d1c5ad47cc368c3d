"""Group commit: what many callers want at the same time becomes one commit, without a timer or a task of its own.

A caller that finds nobody committing leads: it lets everybody who is about to call do so, commits what has gathered,
its own item among it, and goes on until its own is settled; then it hands over to the next that waits. The running
commit is the window in which the next batch gathers. Up to `commits_max` callers lead at once, and the first leaves the
next its share of what is waiting: while the server writes one batch, the next is put into bytes.

Each item gets its own answer. An item that cannot be stored (`InvalidUnit`) takes no other with it. A caller that is
cancelled takes its item back if it was not sent yet; a commit that was sent is waited for, since others are in it.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import anyio

from eventstore.errors import InvalidUnit

ITEMS_MAX = 1_024  # Of one commit: it must end well within the time a commit may take.
WEIGHT_MAX = 2_000  # Events of one commit, unless one item alone has more.
COMMITS_MAX = 2  # The log takes one at a time; a third would only wait.
SHARE_MIN = 128  # Items; a smaller batch is not worth a commit of its own while more are waiting.

Item = TypeVar("Item")
Result = TypeVar("Result")
_LEAD = object()  # Instead of an answer: lead until you have it.


class _Turn(Generic[Item]):
    """One caller's item and what it waits for: its answer, or to be asked to lead. `leads`: it was."""

    __slots__ = ("answer", "item", "leads")

    def __init__(self, item: Item, answer: "asyncio.Future[Any]") -> None:
        self.item, self.answer, self.leads = item, answer, False


class Coalescer(Generic[Item, Result]):
    """Calls `commit` with batches; it answers with one result an item, in order, or raises for all of them."""

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        weight: Callable[[Item], int],
        commits_max: int = COMMITS_MAX,
        items_max: int = ITEMS_MAX,
        weight_max: int = WEIGHT_MAX,
    ) -> None:
        self._commit, self._weight = commit, weight
        self._commits_max, self._items_max, self._weight_max = commits_max, items_max, weight_max
        self._waiting: deque[_Turn[Item]] = deque()
        self._leading = self._committing = 0

    async def submit(self, item: Item) -> Result:
        """The item's own answer, or what its commit raised."""
        turn = _Turn(item, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        if self._leading < self._commits_max:
            self._leading += 1
            await self._lead(turn)
        while True:
            waiting = turn.answer
            try:
                answer = await waiting
            except asyncio.CancelledError:
                turn.answer.cancel()
                if waiting is not turn.answer:
                    self._hand_over()  # It was asked to lead and cannot any more.
                raise
            if answer is not _LEAD:
                return answer
            await self._lead(turn)

    async def _lead(self, turn: "_Turn[Item]") -> None:
        """Commit until the turn is settled, or is in the batch of the other leader."""
        turn.leads = True
        try:
            while not turn.answer.done():
                await asyncio.sleep(0)  # Those whom the last commit has just answered may call again.
                batch = self._take()
                if not batch:
                    return
                self._committing += 1
                try:
                    with anyio.CancelScope(shield=True):
                        await self._settle(batch)
                finally:
                    self._committing -= 1
        except asyncio.CancelledError:
            turn.answer.cancel()
            raise
        finally:
            turn.leads = False
            self._hand_over()

    def _take(self) -> "list[_Turn[Item]]":
        batch: list[_Turn[Item]] = []
        weight = 0
        share = -(-len(self._waiting) // max(1, self._commits_max - self._committing))
        items_max = min(self._items_max, max(SHARE_MIN, share))
        while self._waiting and len(batch) < items_max:
            turn = self._waiting[0]
            if not turn.answer.done():  # Else its caller was cancelled.
                weight += self._weight(turn.item)
                if batch and weight > self._weight_max:
                    break
                batch.append(turn)
            self._waiting.popleft()
        return batch

    async def _settle(self, batch: "list[_Turn[Item]]") -> None:
        while batch:
            try:
                results = await self._commit([turn.item for turn in batch])
            except InvalidUnit as error:
                _refuse(batch.pop(error.index), error)
            except Exception as error:  # noqa: BLE001 - each caller gets it
                for turn in batch:
                    _refuse(turn, copy.copy(error).with_traceback(None))
                return
            else:
                for turn, result in zip(batch, results, strict=True):
                    if not turn.answer.done():
                        turn.answer.set_result(result)
                return

    def _hand_over(self) -> None:
        """Let the first that waits lead, or nobody if nobody does."""
        for turn in self._waiting:
            if not turn.answer.done() and not turn.leads:
                turn.leads = True
                asked, turn.answer = turn.answer, turn.answer.get_loop().create_future()
                asked.set_result(_LEAD)
                return
        self._leading -= 1


def _refuse(turn: "_Turn[Any]", error: Exception) -> None:
    if not turn.answer.done():
        turn.answer.set_exception(error)
        turn.answer.exception()  # Its caller may be cancelled before it hears of it: that is no error nobody took.
