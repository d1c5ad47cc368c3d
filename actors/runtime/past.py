"""An actor's state as it was at any position of the log.

State is a fold of the actor's events, so that of any moment can be had: it is folded from those up to there. A snapshot
that is not beyond the moment saves reading; where its own history cannot be folded on it, the events are folded from
the first. Nothing is written, not even a snapshot that would be due, and a company may run or not.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from actors.runtime.folding import Unfoldable
from actors.runtime.kind import Kind
from actors.runtime.turn import plain
from eventstore.store import EventStore, Recorded
from protocol.subjects import Address

PAGE_EVENTS = 500


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of `address` at `position`, as JSON whose sets and mappings are in order, so that equal states have
    equal bytes. `version` 0: no event of its own had happened yet. `event`: the position of the last one that counts
    (0: none). It was made from a snapshot at version `snapshot` (0: from none) and `folded` events after it."""

    address: Address
    position: int
    state: bytes
    version: int
    event: int
    snapshot: int
    folded: int


@dataclass(slots=True)
class _Fold:
    """On the way to a moment."""

    state: Any
    version: int
    event: int
    snapshot: int
    folded: int = 0


async def state_at(store: EventStore, kind: Kind[Any], address: Address, position: int) -> Moment:
    """The state at that position. UnknownStream for an actor that has no event at all; Unfoldable for a history that
    this version cannot fold, or a state that is no JSON; StoreUnavailable."""
    await store.stream(address)
    fold = await _from_snapshot(store, kind, address, position)
    if fold is not None:
        try:
            await _advance(store, kind, address, position, fold)
        except Unfoldable:
            fold = None  # A snapshot is a cache: what is true is in the events.
    if fold is None:
        fold = _Fold(kind.initial(address), 0, 0, 0)
        await _advance(store, kind, address, position, fold)
    try:
        state = msgspec.json.encode(fold.state, order="deterministic")
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise Unfoldable(f"the state of {address} cannot be written as JSON: {plain(str(error))}") from error
    return Moment(address, position, state, fold.version, fold.event, fold.snapshot, fold.folded)


async def events_between(store: EventStore, before: Moment, after: Moment) -> list[Recorded]:
    """The actor's events after the one moment, up to the other. StoreUnavailable."""
    found: list[Recorded] = []
    version = before.version
    while version < after.version:
        page = await store.read_stream(before.address, version, PAGE_EVENTS, after.version)
        if not page:
            break
        found.extend(page)
        version = page[-1].version
    return found


async def _from_snapshot(store: EventStore, kind: Kind[Any], address: Address, position: int) -> _Fold | None:
    """Where the snapshot leaves off; None when there is none of that schema, or it is of a later moment."""
    if kind.state is None:
        return None
    found = await store.snapshots.get(address, kind.state_schema)
    if found is None:
        return None
    covered = await store.read_stream(address, found.version - 1, 1)
    if not covered or covered[0].position > position:
        return None
    try:
        state = msgspec.json.decode(found.body, type=kind.state)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _Fold(state, found.version, covered[0].position, found.version)


async def _advance(store: EventStore, kind: Kind[Any], address: Address, position: int, fold: _Fold) -> None:
    """Fold what came up to the position. Unfoldable names the event."""
    while page := await store.read_stream(address, fold.version, PAGE_EVENTS):
        for recorded in page:
            if recorded.position > position:
                return
            try:
                event = kind.event_vocabulary.decode(recorded.body, recorded.type)
                fold.state = kind.evolve(fold.state, event)
            except Exception as error:  # whatever a core raises on its history
                words = plain(f"{type(error).__name__}: {error}")
                raise Unfoldable(f"{recorded.reference} at position {recorded.position}: {words}") from error
            fold.version, fold.event, fold.folded = recorded.version, recorded.position, fold.folded + 1
