"""Effects that do not simply run to their end, written as promises. Reached as `store.effects`.

- An effect is a row until it has ended; it ends once, with one outcome, under the claim of one worker.
- Who holds a claim is decided by the row alone. What `hold` does not return is another's, or has ended.
- An effect is withdrawn by an order, a row among the effects that is written with the events of the actor that wanted
  it: an order survives what an effect survives. Withdrawn, a waiting effect is claimed to be ended and not performed;
  a running one says so to the worker that holds it.
- A doubted effect stays as it is until a human settles it: nobody claims it, no order reaches it.

A deadline is an order that is written beforehand and falls due then; it goes with its effect.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from eventstore.records import ClaimedEffect, EffectOutcome, EffectState
from protocol.subjects import Address

# The effect kinds of orders; no performer is of these.
WITHDRAW = "runtime-withdraw"  # Counts at once.
DEADLINE = "runtime-deadline"  # Counts when its own time (`at`) has come.
OPEN_EFFECTS_MAX = 1_000  # Of one listing.

Answer = Literal["done", "failed", "again"]


class Order(msgspec.Struct, frozen=True):
    """The body of an order. It means the actor's effect with that key; or else its effects with that name that were
    wanted before `version` and `place` (the order's own, among what its event wanted)."""

    note: str
    key: str = ""
    name: str = ""
    version: int = 0
    place: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that is held still, and whether its effect was withdrawn meanwhile (`note` says why)."""

    withdrawn: bool
    note: str


@dataclass(frozen=True, slots=True)
class OpenEffect:
    """An effect that has not ended. `attempts` were begun; `claimed`: a worker has it now."""

    address: Address
    key: str
    effect_kind: str
    safety: Literal["idempotent", "repeatable", "once"]
    at: datetime
    correlation: str
    attempts: int
    claimed: bool
    state: EffectState
    note: str
    body: bytes


class Effects(Protocol):
    """What can be done about effects beside performing them."""

    async def hold(self, effects: Collection[ClaimedEffect], ttl_s: float) -> dict[UUID, Held]:
        """Heartbeat: extend these claims for `ttl_s` seconds from now; those that are held still, by claim.
        StoreUnavailable."""
        ...

    async def carry_out(self, limit: int) -> list[str]:
        """Withdraw what up to `limit` orders mean, and end the orders; the kinds of effects that were withdrawn.
        StoreUnavailable."""
        ...

    async def claim_decided(
        self, kinds: Collection[str], worker: UUID, ttl_s: float, limit: int
    ) -> list[ClaimedEffect]:
        """Take effects that are to be ended without being performed (withdrawn, done, failed) and that nobody holds,
        oldest first. It is no attempt: `attempt` is how many there were. StoreUnavailable."""
        ...

    async def doubt(self, effect: ClaimedEffect, note: str, told: EffectOutcome | None, partition: int) -> bool:
        """Ask a human what became of it; its actor is sent `told`. False if the claim was lost. StoreUnavailable."""
        ...

    async def listed(self, project: str | None = None, doubted: bool = False) -> list[OpenEffect]:
        """Effects that have not ended, oldest first, at most OPEN_EFFECTS_MAX; only those that wait for a human when
        `doubted`. StoreUnavailable."""
        ...

    async def find(self, project: str, key: str) -> OpenEffect | None:
        """The effect with that key; None when it has ended, or was never wanted. StoreUnavailable."""
        ...

    async def settle(self, project: str, key: str, answer: Answer, note: str) -> str | None:
        """A human's answer to a doubted effect: it was `done`, it `failed` (its actor is told so), or it is to be
        performed `again`. Its effect kind; None when no such effect is doubted. StoreUnavailable."""
        ...


def is_order(effect_kind: str) -> bool:
    """Whether a row among the effects is an order, which has no outcome."""
    return effect_kind in (WITHDRAW, DEADLINE)
