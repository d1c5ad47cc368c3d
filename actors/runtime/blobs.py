"""Storing what an effect produced, through the store's bad minutes: what was paid for is not thrown away. And taking
away what nobody names, now and then."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import anyio
import structlog

from eventstore.blobs import BLOB_BYTES_MAX
from eventstore.store import EventStore, StoreError, StoreUnavailable

RETRY_FIRST_S = 0.1
RETRY_S_MAX = 5.0
COLLECT_FIRST_S = 60.0  # A company has better things to do while it starts.
COLLECT_EVERY_S = 86_400.0

T = TypeVar("T")
log = structlog.get_logger("blobs")


async def keep_blob(store: EventStore, project: str, content: bytes) -> str:
    """Store `content` and return its hash, however long the store is away: a full disk, a restart.

    Bounded by the time of the effect it is called in (`Performer.timeout_s`); that attempt has then failed.
    """
    if len(content) <= BLOB_BYTES_MAX:
        return await patiently(lambda: store.blobs.put(project, content))
    return (await patiently(lambda: store.blobs.write(project, _once(content)))).sha256


async def _once(content: bytes) -> AsyncGenerator[bytes]:
    yield content


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of a store, however long it is away; bounded like `keep_blob`."""
    delay_s = RETRY_FIRST_S
    while True:
        try:
            return await ask()
        except StoreUnavailable as error:
            log.warning("blobs.wait", error=str(error))
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX)


async def collect_blobs(store: EventStore, first_s: float = COLLECT_FIRST_S, every_s: float = COLLECT_EVERY_S) -> None:
    """Collect blobs for ever: soon after the start and then once a day. What goes wrong is told, and left to the next
    time: nothing waits for it."""
    rest_s = first_s
    while True:
        await anyio.sleep(rest_s)
        rest_s = every_s
        try:
            swept = await store.blobs.collect()
        except StoreError as error:
            log.warning("blobs.not_collected", error=str(error))
        else:
            log.info(
                "blobs.collected", blobs=swept.blobs, bytes=swept.size, uploads=swept.uploads, complete=swept.complete
            )
