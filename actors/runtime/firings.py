"""Which event had set a timer that fired. The id of a firing names its timer's key and no event, so that a timer which
sets itself again for years keeps short names; so the actor's history is lived again up to there."""

from collections.abc import Collection, Mapping
from typing import Any

from actors.runtime.kind import Kind
from actors.runtime.lineage import FIRING
from actors.runtime.relive import Life, Unlivable
from eventstore.store import EventStore, NewTimer, Recorded
from protocol.subjects import Address

PAGE_EVENTS = 200
HISTORY_EVENTS_MAX = 20_000  # Of one actor: what fired later in a longer history stays without its setter.


async def setters(
    store: EventStore, kinds: Mapping[str, Kind[Any]], firings: Mapping[Address, Collection[str]]
) -> dict[tuple[Address, str], str]:
    """The references of the events that had set the timers, by actor and id of the firing. Those that cannot be told
    are missing: of a kind that is unknown here, a history that this version cannot live, or beyond HISTORY_EVENTS_MAX.
    StoreUnavailable."""
    found: dict[tuple[Address, str], str] = {}
    for address, wanted in firings.items():
        kind = kinds.get(address.kind)
        if kind is not None:
            found.update(await _of_one(store, kind, address, set(wanted)))
    return found


async def _of_one(
    store: EventStore, kind: Kind[Any], address: Address, wanted: set[str]
) -> dict[tuple[Address, str], str]:
    life, found = Life(kind, address), dict[tuple[Address, str], str]()
    settings: dict[str, list[NewTimer]] = {}
    while wanted and life.version < HISTORY_EVENTS_MAX:
        page = await store.read_stream(address, life.version, PAGE_EVENTS)
        if not page:
            break
        for recorded in page:
            if recorded.causation in wanted:
                wanted.discard(recorded.causation)
                setting = _fired(settings, recorded)
                if setting is not None:
                    found[address, recorded.causation] = setting.causation
            try:
                for what in life.live(recorded):
                    if isinstance(what, NewTimer):
                        settings.setdefault(what.key, []).append(what)
            except Unlivable:
                return found
    return found


def _fired(settings: dict[str, list[NewTimer]], recorded: Recorded) -> NewTimer | None:
    """What fired: of the settings of that key the last one that was due then. Before the actor hears of a firing it may
    have set the timer again, or cancelled it: too late for this one."""
    firing = FIRING.fullmatch(recorded.causation)
    every = settings.get(firing[1], []) if firing is not None else []
    due = [setting for setting in every if setting.due <= recorded.at]
    if not due:
        return None
    every.remove(due[-1])
    return due[-1]
