"""Whether what `react` wanted once is what it wants today: sends and effects that happened, and what is under way."""

from dataclasses import dataclass

from actors.runtime.recovered import Recovered
from actors.runtime.relive import place_of
from eventstore.histories import PendingWork
from eventstore.store import EventStore
from protocol.subjects import Address


@dataclass(frozen=True, slots=True)
class Otherwise:
    """Something that an event wanted, by its actor and version, and that the code of today wants otherwise."""

    sender: Address
    version: int
    what: str
    expected: str
    now: str


def cause_differs(to: Address, id_: str, recovered: Recovered) -> Otherwise | None:
    """A command of that id came to that actor: the send or effect behind it is one that `react` still comes to."""
    place = place_of(to.project, id_)
    if place is None or (recovered.version_of(place.sender) or 0) < place.version:
        return None
    if place.effect:
        if recovered.effect(to.project, place.effect) is None:
            what = f"react: the effect {place.effect}"
            return Otherwise(place.sender, place.version, what, "it is wanted", "it is not")
        return None
    send = recovered.send(to.project, id_)
    if send is None or send.to != to:
        now = "none" if send is None else f"one to {send.to}"
        return Otherwise(place.sender, place.version, f"react: the send {id_}", f"one to {to}", now)
    return None


async def pending_differs(work: PendingWork, recovered: Recovered, store: EventStore) -> Otherwise | None:
    """What waits is what `react` still comes to."""
    if work.what == "timer":
        return await _timer_differs(work, recovered, store)
    place = place_of(work.address.project, work.key, of_effect=work.what == "effect")
    if work.what == "parked" or place is None or (place.effect and work.what == "send"):
        return None
    if (recovered.version_of(place.sender) or 0) < place.version:
        return None
    if work.what == "effect":
        now = recovered.effect(work.address.project, work.key)
        same = now == (work.type, work.body)
    else:
        send = recovered.send(work.address.project, work.key)
        now = send and (send.type, send.body)
        same = send is not None and (send.to, send.type, send.body) == (work.address, work.type, work.body)
    if same:
        return None
    shown = "none" if now is None else now[0] if now[0] != work.type else "another content or receiver"
    what = f"react: the {work.what} {work.key}"
    return Otherwise(place.sender, place.version, what, f"{work.type} for {work.address}", shown)


async def _timer_differs(work: PendingWork, recovered: Recovered, store: EventStore) -> Otherwise | None:
    version = recovered.version_of(work.address)
    if version is None or (await store.stream(work.address)).version != version:
        return None
    timer = recovered.timer(work.address, work.key)
    if timer is not None and (timer.type, timer.body) == (work.type, work.body):
        return None
    now = "none" if timer is None else timer.type if timer.type != work.type else "another content"
    return Otherwise(work.address, version, f"react: the timer {work.key}", work.type, now)
