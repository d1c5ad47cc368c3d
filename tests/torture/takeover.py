"""How long nobody writes for a worker that is killed: from kill -9 to the next commit in one of its partitions."""

from dataclasses import dataclass
from datetime import timedelta

import anyio

from actors.runtime.ownership import LEASE_TTL_S
from actors.runtime.ports import Clock
from protocol.subjects import PARTITIONS
from tests.torture.crew import Slot
from tests.torture.ledger import Ledger

SHARED_S_MAX = 30.0  # Until every worker has its share again.
TAKEOVER_S_MAX = 20.0
LOOK_EVERY_S = 0.05
SETTLED = timedelta(seconds=0.5)  # A share counts when it was there for so long.


@dataclass(frozen=True)
class Takeover:
    """Seconds from the kill to the first commit in any of the dead worker's partitions, and how many it had."""

    first_s: float
    partitions: int

    @property
    def vs_ttl(self) -> float:
        return self.first_s / LEASE_TTL_S


async def shared(ledger: Ledger, slots: list[Slot], now: Clock) -> None:
    """Wait until every worker owns an even share. TimeoutError after SHARED_S_MAX."""
    least = PARTITIONS // len(slots)
    with anyio.fail_after(SHARED_S_MAX):
        while True:
            names = [slot.life.name for slot in slots if slot.life is not None]
            held = [len(await ledger.held(name, now() - SETTLED)) for name in names]
            if len(held) == len(slots) and min(held) >= least and sum(held) == PARTITIONS:
                return
            await anyio.sleep(LOOK_EVERY_S)


async def take_over(ledger: Ledger, slot: Slot) -> Takeover:
    """Kill that worker; TimeoutError if nobody goes on with what was its."""
    assert slot.life is not None
    name = slot.life.name
    at = await slot.kill()
    mine = await ledger.held(name, at)
    with anyio.fail_after(TAKEOVER_S_MAX):
        while True:
            for written_at, partition in await ledger.written_since(at, name):
                if partition in mine:
                    return Takeover((written_at - at).total_seconds(), len(mine))
            await anyio.sleep(LOOK_EVERY_S)
