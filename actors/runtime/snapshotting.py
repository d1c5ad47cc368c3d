"""Keeps snapshots of actors beside their work: handed a committed state, it writes it when there is time.

No commit waits for it, and at most SNAPSHOTS_CONCURRENT_MAX are written at once. What waits is bounded in number and
bytes; of an actor only the latest state waits. Whatever does not fit, fails, or is lost in a crash costs nothing but
the time to fold it again: a snapshot only saves time.

A state is made of events as they are stored, so what is sealed in them is sealed in its snapshot.
"""

from collections import OrderedDict

import anyio
import structlog

from actors.runtime.folding import keep_snapshot
from actors.runtime.kind import Kinds
from actors.runtime.turn import Loaded
from eventstore.store import EventStore
from protocol.subjects import Address

SNAPSHOTS_CONCURRENT_MAX = 2
WAITING_MAX = 256  # Actors.
WAITING_BYTES_MAX = 32 * 1024 * 1024  # Of states, as the cache estimates them.

log = structlog.get_logger("snapshotting")


class SnapshotKeeper:
    """One per process."""

    def __init__(self, store: EventStore, kinds: Kinds) -> None:
        self._store, self._kinds = store, kinds
        self._waiting: OrderedDict[Address, tuple[Loaded, int]] = OrderedDict()
        self._bytes = 0
        self._stirred = anyio.Event()
        self.kept = 0  # Snapshots that the store took.

    def offer(self, address: Address, loaded: Loaded, size: int) -> bool:
        """Have this committed state kept; False when too much waits already, or its kind has no snapshots."""
        if self._kinds[address.kind].state is None:
            return False
        before = self._waiting.pop(address, None)
        self._bytes -= before[1] if before else 0
        if len(self._waiting) >= WAITING_MAX or (self._waiting and self._bytes + size > WAITING_BYTES_MAX):
            return False
        self._waiting[address] = (loaded, size)
        self._bytes += size
        self._stirred.set()
        return True

    async def run(self) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as group:
            for _ in range(SNAPSHOTS_CONCURRENT_MAX):
                group.start_soon(self._work)

    async def finish(self) -> None:
        """Write all that waits. Where `run` was cancelled meanwhile, what it had in hand is lost."""
        async with anyio.create_task_group() as group:
            for _ in range(SNAPSHOTS_CONCURRENT_MAX):
                group.start_soon(self._drain)

    async def _work(self) -> None:
        while True:
            await self._drain()
            if self._stirred.is_set():  # One event for all of them: a new one would leave the others waiting.
                self._stirred = anyio.Event()
            await self._stirred.wait()

    async def _drain(self) -> None:
        while self._waiting:
            address, (loaded, size) = self._waiting.popitem(last=False)
            self._bytes -= size
            self.kept += await keep_snapshot(self._store, self._kinds[address.kind], address, loaded)
