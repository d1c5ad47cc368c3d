"""Actors come to life by folding their stream (folding.py), and stay in memory while they are used. Committed state
only."""

from collections import OrderedDict
from collections.abc import Collection, Sequence

import anyio
import structlog

from actors.runtime.folding import Fold, Unfoldable
from actors.runtime.kind import Kinds
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.turn import Loaded
from eventstore.store import EventStore, StoreUnavailable
from protocol.subjects import Address, partition_of

CACHE_ACTORS_MAX = 10_000  # More than one batch has actors.
LOADS_CONCURRENT_MAX = 4
RETRY_FIRST_S = 0.05
RETRY_S_MAX = 2.0

log = structlog.get_logger("activation")


class ActorCache:
    """State by actor, least recently used out first."""

    def __init__(self, store: EventStore, kinds: Kinds, mailboxes: Mailboxes) -> None:
        self._store, self._kinds, self._mailboxes = store, kinds, mailboxes
        self._actors: OrderedDict[Address, Loaded] = OrderedDict()
        self._losses = 0  # How often partitions were lost: what was read before that may be old.

    def get(self, address: Address) -> Loaded | None:
        return self._actors.get(address)

    def remember(self, address: Address, loaded: Loaded) -> None:
        self._actors[address] = loaded
        self._actors.move_to_end(address)
        while len(self._actors) > CACHE_ACTORS_MAX:
            self._actors.popitem(last=False)

    def drop(self, address: Address) -> None:
        self._actors.pop(address, None)

    def lose(self, partitions: Collection[int]) -> None:
        """Forget the actors of these partitions."""
        self._losses += 1
        for address in [address for address in self._actors if partition_of(address) in partitions]:
            del self._actors[address]

    async def load(self, addresses: Sequence[Address]) -> None:
        """Bring those that are not here to life. One whose history this version cannot read is parked."""
        for address in addresses:
            if address in self._actors:
                self._actors.move_to_end(address)  # Used now: what is loaded beside it must not push it out.
        missing = [address for address in addresses if address not in self._actors]
        limiter = anyio.CapacityLimiter(LOADS_CONCURRENT_MAX)

        async def load(address: Address) -> None:
            async with limiter:
                await self._load(address)

        async with anyio.create_task_group() as group:
            for address in missing:
                group.start_soon(load, address)

    async def _load(self, address: Address) -> None:
        folding = Fold(self._store, self._kinds[address.kind], address)
        delay_s = RETRY_FIRST_S
        while True:
            losses = self._losses
            try:
                loaded = await folding.finish()
                if losses != self._losses:
                    continue  # Another may have had the actor meanwhile: read on.
                self.remember(address, loaded)
                return
            except StoreUnavailable as error:
                log.warning("activation.waits", actor=str(address), error=str(error))
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_S_MAX)
            except Unfoldable as error:
                # An event of another version of us: deciding on half a state would be worse than waiting.
                log.error("activation.parked", actor=str(address), error=str(error))
                self._mailboxes.park(address, str(error))
                return
