"""A company without a bus: commands are decided and committed one after the other, as its turns do it."""

from datetime import UTC, datetime
from typing import Any

from actors.runtime.folding import fold
from actors.runtime.kind import Kinds
from actors.runtime.mailboxes import from_message, from_row
from actors.runtime.turn import Pending, run_turn
from eventstore.store import EffectOutcome, EventStore
from protocol.codec import encode
from protocol.message import Command, tag_of
from protocol.subjects import PARTITIONS, Address, partition_of
from tests.kit.units import Owner

PROJECT = "demo"
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Turns:
    """The one process of a company on `store`."""

    def __init__(self, store: EventStore, kinds: Kinds, owner: Owner) -> None:
        self.store, self._kinds, self._owner = store, kinds, owner
        self._commands = 0

    @classmethod
    async def of(cls, store: EventStore, kinds: Kinds) -> "Turns":
        return cls(store, kinds, await Owner.of(store, *range(PARTITIONS)))

    async def tell(self, kind: str, name: str, *commands: Command) -> None:
        """Commands from outside, decided in one turn."""
        address, pending = Address(PROJECT, kind, name), list[Pending]()
        for command in commands:
            self._commands += 1
            n, body = self._commands, encode(command)
            pending.append(from_message(self._kinds, address, f"{kind}-{n}", n, 1, {}, body, AT, AT))
        await self._take(*pending)

    async def deliver(self, *receivers: Address) -> None:
        """What these were sent, and what that leads to for them, until nothing is left."""
        while rows := await self.store.pending_sends(receivers, 100):
            for row in rows:
                await self._take(from_row(self._kinds, row))

    async def perform(self, kind: str, outcome: Command) -> None:
        """End one effect of that kind."""
        (effect,) = await self.store.claim_effects([kind], self._owner.id, 60.0, 1)
        said = EffectOutcome(tag_of(outcome), encode(outcome), AT)
        assert await self.store.finish_effect(effect, said, partition_of(effect.address))
        await self.deliver(effect.address)

    async def fire(self) -> None:
        """Timers that are due."""
        await self.deliver(*await self.store.fire_timers(100))

    async def _take(self, *pending: Pending) -> None:
        address = pending[0].address
        kind: Any = self._kinds[address.kind]
        unit = run_turn(kind, address, await fold(self.store, kind, address), pending, AT).unit()
        (verdict,) = await self._owner.commit(unit)
        assert verdict.status == "committed"
