"""An actor's state as it is committed: its snapshot, if there is one that can be used, and the events after it.

Snapshots only save time. One that cannot be read, or on which its own history cannot be folded, is dropped, and the
state folded from the first event; one that cannot be kept now is kept another time. After a fold of
SNAPSHOT_EVERY_EVENTS a new one is kept, so an actor with ten thousand events comes to life from one row and fewer
events than that.
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
        self._snapshot_version = 0  # Of the snapshot that this fold began with.

    async def finish(self) -> Loaded:
        """The committed state and version, or Unfoldable. After StoreUnavailable call it again: it goes on."""
        if self._loaded is None:
            self._loaded = await self._begin()
        while page := await self._store.read_stream(self._address, self._loaded.version):
            state, version = self._loaded.state, self._loaded.version
            try:
                for recorded in page:
                    event = self._kind.event_vocabulary.decode(recorded.body, recorded.type)
                    state = self._kind.evolve(state, event)
                    version = recorded.version
            except Exception as error:  # whatever a core raises on its history
                words = plain(f"event {version + 1}: {type(error).__name__}: {error}")
                if not self._snapshot_version:
                    raise Unfoldable(words) from error
                await self._drop(words)
                self._snapshot_version, self._loaded = 0, self._initial()
                continue
            self._loaded = Loaded(state, version)
        await self._keep(self._loaded)
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
        self._snapshot_version = found.version
        return Loaded(state, found.version)

    async def _drop(self, why: str) -> None:
        log.warning("folding.snapshot_dropped", actor=str(self._address), error=why)
        await self._store.snapshots.drop(self._address)

    async def _keep(self, loaded: Loaded) -> None:
        kind = self._kind
        if kind.state is None or loaded.version - self._snapshot_version < SNAPSHOT_EVERY_EVENTS:
            return
        self._snapshot_version = loaded.version
        try:
            body = encode(loaded.state)
            await self._store.snapshots.put(Snapshot(self._address, loaded.version, kind.state_schema, body))
        except StoreUnavailable as error:
            log.warning("folding.snapshot_waits", actor=str(self._address), error=str(error))
        except (StoreError, msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            log.error("folding.snapshot_refused", actor=str(self._address), error=plain(str(error)))


async def fold(store: EventStore, kind: Kind[Any], address: Address) -> Loaded:
    """The actor's committed state and version. StoreUnavailable, Unfoldable."""
    return await Fold(store, kind, address).finish()
