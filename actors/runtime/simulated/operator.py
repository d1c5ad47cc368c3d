"""The human of a simulation: has parked actors go on, and says what became of effects whose outcome is unknown.

It looks with the provider before it answers, as people should: what was paid is done. It reaches the store directly,
as whoever uses the command line does, and is never killed.
"""

from collections.abc import Callable
from random import Random

import anyio

from actors.runtime.ownership import WORKERS_BELL
from actors.runtime.simulated.broker import Broker
from actors.runtime.simulated.checkers import Acquired, Wrote
from actors.runtime.simulated.provider import Provider
from actors.runtime.simulated.trace import Trace
from eventstore.memory.store import MemoryStore
from protocol.subjects import Address, partition_of

REST_S_MIN, REST_S_MAX = 0.3, 3.0
RETRY_SHARE = 0.2  # Of parked actors: what broke them is tried once more, the others go on without it.


class Operator:
    """One in a world. `again` are the keys of effects that it has had performed again."""

    def __init__(
        self, store: MemoryStore, broker: Broker, provider: Provider, chance: Random, trace: Trace,
        ledger: list[Acquired | Wrote], projects: Callable[[], list[str]], epoch: Callable[[int], int],
    ) -> None:  # fmt: skip
        self._store, self._broker, self._provider, self._chance = store, broker, provider, chance
        self._trace, self._ledger, self._projects, self._epoch = trace, ledger, projects, epoch
        self._line = broker.line()
        self.again: set[str] = set()

    async def run(self) -> None:
        """Look after everything, now and then, until cancelled."""
        while True:
            await anyio.sleep(self._chance.uniform(REST_S_MIN, REST_S_MAX))
            for project in self._projects():
                for actor in await self._store.dead.parked(project):
                    await self._release(actor.address)
                for effect in await self._store.effects.listed(project, doubted=True):
                    await self._settle(project, effect.key)

    async def _release(self, address: Address) -> None:
        retried = self._chance.random() < RETRY_SHARE
        released = await (self._store.dead.retry if retried else self._store.dead.drop)(address)
        if released is None:
            return
        partition = partition_of(address)  # Its lease ended with that: nobody may write it before it is taken again.
        self._ledger.append(Acquired(partition, self._epoch(partition), "nobody"))
        self._trace.note(f"operator {'retries' if retried else 'drops'} what broke {address}")
        self._broker.ring(self._line, WORKERS_BELL)

    async def _settle(self, project: str, key: str) -> None:
        paid = any((p.project, p.key) == (project, key) for p in self._provider.payments)
        answer = "done" if paid else self._chance.choice(("failed", "again"))
        kind = await self._store.effects.settle(project, key, answer, "the provider was asked")
        if kind is not None:
            self._trace.note(f"operator says of {key}: {answer}")
            if answer == "again":
                self.again.add(key)
            self._broker.ring(self._line, kind)
