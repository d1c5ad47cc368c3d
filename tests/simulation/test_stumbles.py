"""A store that answers now and then with an error that nobody expected: the process begins afresh, and nothing is lost,
repeated or overtaken. (Found by bin/torture: what a failed turn had taken was passed over until another process came.)
"""

from collections.abc import Callable
from typing import Any

import pytest

from actors.runtime.simulated import Faults
from eventstore.errors import StoreError
from eventstore.memory.store import MemoryStore
from eventstore.memory.tables import Tables
from eventstore.store import Batch, Verdict
from tests.simulation import kinds
from tests.simulation.conftest import Simulation
from tests.simulation.workload import workload

STUMBLES_MAX = 3  # A service that fails more often is not begun again.


class Stumbling(MemoryStore):
    """Refuses a few commits that accept sends, in words that mean nothing to the runtime."""

    def __init__(self, now: Callable[[], Any], tables: Tables) -> None:
        super().__init__(now, tables)
        self.stumbled = self._commits = 0

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        accepting = any(row.outbox_id for unit in batch.units for row in unit.settled)
        self._commits += accepting
        if accepting and self._commits % 4 == 0 and self.stumbled < STUMBLES_MAX:
            self.stumbled += 1
            raise StoreError("the store stumbled")
        return await super().commit(batch)


@pytest.mark.parametrize("seed", range(6))
def test_a_turn_that_failed_is_taken_up_again_in_its_place(simulation: Simulation, seed: int) -> None:
    stores: list[Stumbling] = []

    def make(now: Callable[[], Any], tables: Tables) -> MemoryStore:
        stores.append(Stumbling(now, tables))
        return stores[-1]

    simulation(
        kinds.KINDS, kinds.performers, seed=seed, workload=workload, faults=Faults(), workers=1, heard=kinds.HEARD,
        make_store=make,
    ).check()  # fmt: skip
    assert stores[0].stumbled
