"""Actors come to life by folding their stream (folding.py), and stay in memory while they are used. Committed state
only.

- What the cache holds is bounded in bytes: the least recently used go first, and so does, after PASSIVATE_AFTER_S, who
  was not used. Those of the batch that is being decided stay, also beyond the bound.
- The bytes of a state are estimated by its JSON, measured when it is loaded and again once it has taken in as much as a
  quarter of that: little work for a state that grows, none for one that does not change. Where a state cannot be
  written as JSON, the bytes of its events stand for it.
- A snapshot is kept of whoever has SNAPSHOT_EVERY_EVENTS more than the last one covers, and of whoever leaves, or is
  there at a clean stop, and has SNAPSHOT_AT_REST_EVENTS more: in the background (snapshotting.py).
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
import structlog

from actors.runtime.folding import SNAPSHOT_EVERY_EVENTS, Fold, Unfoldable
from actors.runtime.kind import Kinds
from actors.runtime.mailboxes import Mailboxes
from actors.runtime.snapshotting import SnapshotKeeper
from actors.runtime.turn import Loaded
from eventstore.store import EventStore, StoreUnavailable
from protocol.codec import encode
from protocol.subjects import Address, partition_of

CACHE_BYTES_MAX = 256 * 1024 * 1024
PASSIVATE_AFTER_S = 600.0
PASSIVATE_EVERY_S = 30.0
SNAPSHOT_AT_REST_EVENTS = 100
ENTRY_BYTES = 1_000  # Of an actor that has no state to speak of, about.
STATE_FACTOR = 4  # Values in memory take about so many times the bytes of their JSON.
MEASURE_AGAIN_BYTES_MIN = 2_048  # Of events taken in since a state was measured.
LOADS_CONCURRENT_MAX = 4
RETRY_FIRST_S = 0.05
RETRY_S_MAX = 2.0

log = structlog.get_logger("activation")


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How much memory cached actors may take, and for how long one stays that nobody needs."""

    bytes_max: int = CACHE_BYTES_MAX
    passivate_after_s: float = PASSIVATE_AFTER_S


@dataclass(slots=True)
class _Entry:
    """An actor in memory. `size`: its estimated bytes; `taken_in`: bytes of events since it was measured; `kept`: the
    version of its last snapshot."""

    loaded: Loaded
    size: int
    taken_in: int
    kept: int
    used_at: float


class ActorCache:
    """State by actor, least recently used out first. `bytes` is what it holds, by its own estimate."""

    def __init__(
        self, store: EventStore, kinds: Kinds, mailboxes: Mailboxes, limits: CacheLimits | None = None
    ) -> None:
        self._store, self._kinds, self._mailboxes = store, kinds, mailboxes
        self._limits = limits or CacheLimits()
        self._actors: OrderedDict[Address, _Entry] = OrderedDict()
        self._losses = 0  # How often partitions were lost: what was read before that may be old.
        self._pinned: frozenset[Address] = frozenset()
        self._unwritable: set[str] = set()  # Kinds whose states are no JSON.
        self.snapshots = SnapshotKeeper(store, kinds)
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._actors)

    def get(self, address: Address) -> Loaded | None:
        entry = self._actors.get(address)
        return None if entry is None else entry.loaded

    def remember(self, address: Address, loaded: Loaded, event_bytes: int = 0) -> None:
        """The committed state after events of so many bytes."""
        entry = self._actors.get(address)
        if entry is None:
            entry = self._add(address, loaded, event_bytes, 0)
        else:
            entry.loaded = loaded  # Used since it was loaded for its turn.
            entry.taken_in += event_bytes
            self._actors.move_to_end(address)
            if entry.taken_in >= max(MEASURE_AGAIN_BYTES_MIN, (entry.size - ENTRY_BYTES) // (4 * STATE_FACTOR)):
                self._measure(address, entry)
        if loaded.version - entry.kept >= SNAPSHOT_EVERY_EVENTS:
            self._keep(address, entry)
        self._make_room()

    def drop(self, address: Address) -> None:
        entry = self._actors.pop(address, None)
        self.bytes -= entry.size if entry else 0

    def lose(self, partitions: Collection[int]) -> None:
        """Forget the actors of these partitions."""
        self._losses += 1
        for address in [address for address in self._actors if partition_of(address) in partitions]:
            self.drop(address)

    async def run(self) -> None:
        """Keep snapshots, and let go of who was not used for long, until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.snapshots.run)
            while True:
                await anyio.sleep(PASSIVATE_EVERY_S)
                self.passivate()

    def passivate(self) -> None:
        """Let go of who was not used for long."""
        before = anyio.current_time() - self._limits.passivate_after_s
        while self._actors:
            address, entry = next(iter(self._actors.items()))
            if entry.used_at > before or address in self._pinned:
                return
            self._let_go(address, entry)

    def leaving(self) -> list[tuple[Address, Loaded, int]]:
        """At a clean stop, before the partitions are let go: whose snapshots are due, with their estimated bytes."""
        return [(a, entry.loaded, entry.size) for a, entry in self._actors.items() if self._due(a, entry)]

    async def rest(self, leaving: Sequence[tuple[Address, Loaded, int]]) -> None:
        """Keep those snapshots. `run` is over."""
        for each in leaving:
            if not self.snapshots.offer(*each):
                await self.snapshots.finish()  # As many wait as may.
                self.snapshots.offer(*each)
        await self.snapshots.finish()

    def unpin(self) -> None:
        """The batch is over whose actors were loaded last."""
        self._pinned = frozenset()
        self._make_room()

    async def load(self, addresses: Sequence[Address]) -> None:
        """Bring those that are not here to life, and hold them all until `unpin`. One whose history this version cannot
        read is parked."""
        self._pinned, now = frozenset(addresses), anyio.current_time()
        for address in addresses:
            entry = self._actors.get(address)
            if entry is not None:
                entry.used_at = now
                self._actors.move_to_end(address)  # Whoever is held stands behind all others.
        missing = [address for address in addresses if address not in self._actors]
        if not missing:
            return
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
                self._add(address, loaded, folding.bytes_read, folding.snapshot_version)
                self._make_room()
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

    def _add(self, address: Address, loaded: Loaded, taken_in: int, kept: int) -> _Entry:
        self.drop(address)
        entry = self._actors[address] = _Entry(loaded, 0, taken_in, kept, anyio.current_time())
        self._measure(address, entry)
        if loaded.version - kept >= SNAPSHOT_EVERY_EVENTS:
            self._keep(address, entry)
        return entry

    def _measure(self, address: Address, entry: _Entry) -> None:
        written = self._written(address.kind, entry.loaded.state)
        size = (
            ENTRY_BYTES + STATE_FACTOR * written
            if written is not None
            else ((entry.size or ENTRY_BYTES) + STATE_FACTOR * entry.taken_in)
        )
        self.bytes += size - entry.size
        entry.size, entry.taken_in = size, 0

    def _written(self, kind: str, state: Any) -> int | None:
        if kind in self._unwritable:
            return None
        try:
            return len(encode(state))
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            log.info("activation.unmeasured", kind=kind, error=type(error).__name__)
            self._unwritable.add(kind)
            return None

    def _keep(self, address: Address, entry: _Entry) -> bool:
        """Have a snapshot kept. One that does not come about is due again after as many events."""
        offered = self.snapshots.offer(address, entry.loaded, entry.size)
        if offered:
            entry.kept = entry.loaded.version
        return offered

    def _make_room(self) -> None:
        while self.bytes > self._limits.bytes_max and self._actors:
            address, entry = next(iter(self._actors.items()))
            if address in self._pinned:
                return
            self._let_go(address, entry)

    def _let_go(self, address: Address, entry: _Entry) -> None:
        if self._due(address, entry):
            self._keep(address, entry)
        self.drop(address)

    def _due(self, address: Address, entry: _Entry) -> bool:
        rest = entry.loaded.version - entry.kept >= SNAPSHOT_AT_REST_EVENTS
        return rest and self._kinds[address.kind].state is not None
