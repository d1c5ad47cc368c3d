"""A log with commits of every shape, and archives of it."""

import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from eventstore.heads import SignedHead
from eventstore.store import EventStore, NewEvent
from protocol.subjects import Address
from tests.kit.units import Owner, actor, event, unit

LINKS = [(1, 1), (2, 6), (7, 8), (9, 10), (11, 12), (13, 13)]
LAST = LINKS[-1][1]


async def write_log(store: EventStore) -> None:
    """Six commits: with one event, with several, with a loser, unchecked, plain, and one that follows (LINKS)."""
    owner = await Owner.of(store)
    await owner.commit(unit("a1"))
    await owner.commit(unit("a1", 1, "c2", events=3), unit("a2", command="c3", events=2))
    await owner.commit(unit("a1", 0, "c4"), unit("a3", command="c5", events=2))
    await owner.commit(unit("a3", None, "c6", events=2))
    await store.append(actor("plain"), [event(1, "läuft"), event(2)])
    await owner.commit(unit("a3", 4, "c7"))


async def archive_of(
    store: EventStore,
    path: Path,
    first: int = 1,
    last: int | None = None,
    blobs: bool = False,
    heads: Sequence[SignedHead] = (),
) -> Path:
    """An archive in that file, which is given back."""
    buffer = io.BytesIO()
    await store.archive.export(buffer, first, last, blobs, heads)
    path.write_bytes(buffer.getvalue())
    return path


async def stream_of(*events: tuple[Address, NewEvent]) -> AsyncIterator[tuple[Address, NewEvent]]:
    for each in events:
        yield each
