"""Storing what an effect produced, through the store's bad minutes: what was paid for is not thrown away."""

import anyio
import structlog

from eventstore.store import EventStore, StoreUnavailable

RETRY_FIRST_S = 0.1
RETRY_S_MAX = 5.0

log = structlog.get_logger("blobs")


async def keep_blob(store: EventStore, project: str, content: bytes) -> str:
    """Store `content` and return its hash, however long the store is away: a full disk, a restart.

    Bounded by the time of the effect it is called in (`Performer.timeout_s`); that attempt has then failed.
    """
    delay_s = RETRY_FIRST_S
    while True:
        try:
            return await store.put_blob(project, content)
        except StoreUnavailable as error:
            log.warning("blobs.wait", error=str(error))
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX)
