"""Does once more what the database refused for a moment: a swap gives up after a second when something, such as the
server's own vacuum, holds the table it would replace. Both the projector and a rebuild go on from where they were, so
that the time it takes is counted like any other; standard error says that it happened."""

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eventstore.store import StoreUnavailable

T = TypeVar("T")
TRIES_MAX = 5


async def again(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` comes to; the StoreUnavailable of the last try."""
    for _ in range(TRIES_MAX - 1):
        try:
            return await work()
        except StoreUnavailable as error:
            sys.stderr.write(f"bench: once more: {error}\n")
    return await work()
