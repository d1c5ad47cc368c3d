"""An actor's state as it is committed: its snapshot, if there is one that can be used, and the events after it.

Snapshots only save time. One that cannot be read, or on which its own history cannot be folded, is dropped, and the
state folded from the first event; one that cannot be kept now is kept another time. One is due after every
SNAPSHOT_EVERY_EVENTS, while an actor lives and when it has been folded, so an actor with ten thousand events comes to
life from one row and fewer events than that.
"""

from typing import Any

import msgspec
import structlog

from actors.runtime.kind import Kind
from actors.runtime.turn import Loaded, plain
from eventstore.snapshots import Snapshot
from eventstore.store import EventStore, StoreError, StoreUnavailable
from protocol.codec import encode
from protocol.subjects import Address

SNAPSHOT_EVERY_EVENTS = 500

log = structlog.get_logger("folding")


class Unfoldable(Exception):
    """A history that this version cannot fold; the message names the event."""


class Fold:
    """One actor on its way to life."""

    def __init__(self, store: EventStore, kind: Kind[Any], address: Address) -> None:
        self._store, self._kind, self._address = store, kind, address
        self._loaded: Loaded | None = None
        self.snapshot_version = 0  # Of the snapshot that this fold began with (0: of none).
        self.bytes_read = 0

    async def finish(self) -> Loaded:
        """The committed state and version, or Unfoldable. After StoreUnavailable call it again: it goes on."""
        if self._loaded is None:
            self._loaded = await self._begin()
        while page := await self._store.read_stream(self._address, self._loaded.version):
            state, version = self._loaded.state, self._loaded.version
            try:
                for recorded in page:
                    self.bytes_read += len(recorded.body)
                    event = self._kind.event_vocabulary.decode(recorded.body, recorded.type)
                    state = self._kind.evolve(state, event)
                    version = recorded.version
            except Exception as error:  # whatever a core raises on its history
                words = plain(f"event {version + 1}: {type(error).__name__}: {error}")
                if not self.snapshot_version:
                    raise Unfoldable(words) from error
                await self._drop(words)
                self.snapshot_version, self._loaded = 0, self._initial()
                continue
            self._loaded = Loaded(state, version)
        return self._loaded

    def _initial(self) -> Loaded:
        return Loaded(self._kind.initial(self._address), 0)

    async def _begin(self) -> Loaded:
        kind = self._kind
        if kind.state is None:
            return self._initial()
        found = await self._store.snapshots.get(self._address, kind.state_schema)
        if found is None:
            return self._initial()
        try:
            state = msgspec.json.decode(found.body, type=kind.state)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            await self._drop(f"{type(error).__name__}: {error}")
            return self._initial()
        self.snapshot_version = found.version
        self.bytes_read += len(found.body)
        return Loaded(state, found.version)

    async def _drop(self, why: str) -> None:
        log.warning("folding.snapshot_dropped", actor=str(self._address), error=why)
        await self._store.snapshots.drop(self._address)


async def fold(store: EventStore, kind: Kind[Any], address: Address) -> Loaded:
    """The actor's committed state and version; a snapshot that is due is kept. StoreUnavailable, Unfoldable."""
    folding = Fold(store, kind, address)
    loaded = await folding.finish()
    if loaded.version - folding.snapshot_version >= SNAPSHOT_EVERY_EVENTS:
        await keep_snapshot(store, kind, address, loaded)
    return loaded


async def keep_snapshot(store: EventStore, kind: Kind[Any], address: Address, loaded: Loaded) -> bool:
    """Keep a committed state; False when its kind has none to keep, or it could not be kept."""
    if kind.state is None or not loaded.version:
        return False
    try:
        return await store.snapshots.put(
            Snapshot(address, loaded.version, kind.state_schema, encode(loaded.state))
        )  # fmt: skip
    except StoreUnavailable as error:
        log.warning("folding.snapshot_waits", actor=str(address), error=str(error))
    except (StoreError, msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        log.error("folding.snapshot_refused", actor=str(address), error=plain(str(error)))
    return False
