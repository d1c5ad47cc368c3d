"""A small company's history with something of everything, for whoever checks new code against it."""

from typing import Any

from actors.runtime.kind import Kind, Kinds
from actors.runtime.upgrade import Checked, UpgradeCheck, Works
from eventstore.store import EventStore
from protocol.subjects import Address
from tests.kit.counting import KINDS, Add, Begin, Job, Report, Serve
from tests.kit.turns import PROJECT, Turns

WORKS: Works = {"job": Job}
LONG = 450  # Commands of one counter; its events are more than a page.


def at(kind: str, name: str) -> Address:
    return Address(PROJECT, kind, name)


C1, C2 = at("counter", "c1"), at("counter", "c2")
LEFT, RIGHT, WAITING = at("player", "l"), at("player", "r"), at("player", "waiting")
W1, W2, W3, W4 = (at("worker", f"w{n}") for n in range(1, 5))


async def write_history(store: EventStore) -> Turns:
    """Two counters; two players who have played, and one whose ball waits; effects and timers, done and to come."""
    turns = await Turns.of(store, KINDS)
    await turns.tell("counter", "c1", *(Add(n % 3) for n in range(LONG)))  # Every third adds nothing.
    await turns.tell("counter", "c2", Add(5), Add(-1))
    await turns.tell("player", "l", Serve("r", 2))
    await turns.deliver(LEFT, RIGHT)
    await turns.tell("player", "r", Serve("waiting", 1))
    await turns.tell("worker", "w1", Begin("dig"))
    await turns.perform("job", Report("dig", "a hole"))
    await turns.tell("worker", "w2", Begin("call", 0.0))
    await turns.fire()
    await turns.tell("worker", "w3", Begin("plant"))
    await turns.tell("worker", "w4", Begin("wait", 10.0**9))
    return turns


async def check(
    store: EventStore, *changed: Kind[Any], works: Works = WORKS, kind: str = "", sample: int = 0, without: str = ""
) -> Checked:
    kinds: Kinds = {name: each for name, each in (KINDS | {k.name: k for k in changed}).items() if name != without}
    return await UpgradeCheck(store, kinds, works, kind, sample).run()


def found(checked: Checked) -> list[tuple[Address, int]]:
    return sorted((d.address, d.version) for d in checked.diverging.values())
