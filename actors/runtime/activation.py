"""Actors come to life by folding their stream (folding.py), and stay in memory while they are used. Committed state
only."""

from collections import OrderedDict
from collections.abc import Sequence

import anyio
import structlog

from actors.runtime.folding import Fold, Unfoldable
from actors.runtime.kind import Kinds
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.turn import Loaded
from eventstore.store import EventStore, StoreUnavailable
from protocol.subjects import Address

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

    def get(self, address: Address) -> Loaded | None:
        return self._actors.get(address)

    def remember(self, address: Address, loaded: Loaded) -> None:
        self._actors[address] = loaded
        self._actors.move_to_end(address)
        while len(self._actors) > CACHE_ACTORS_MAX:
            self._actors.popitem(last=False)

    def drop(self, address: Address) -> None:
        self._actors.pop(address, None)

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
            try:
                self.remember(address, await folding.finish())
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
