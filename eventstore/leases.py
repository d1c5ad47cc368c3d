"""Named leases, written as promises: who of many processes does something that one is enough for. `store.leases`.

- At any moment a name is one owner's at most, by the store's clock. Each change of hands begins a new epoch.
- What is not extended in time is free, and so is what was given back.

A lease keeps others from doing the same work; it is no fence. Whatever must not happen twice is guarded where it
happens.
"""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from eventstore.errors import BadInput

LEASE_NAME_LENGTH_MAX = 128  # Characters.


@dataclass(frozen=True, slots=True)
class NamedLease:
    """Who has the name, since which change of hands, and for how long from now."""

    name: str
    owner: UUID
    epoch: int
    expires_in_s: float


class Leases(Protocol):
    """One owner a name."""

    async def take(self, name: str, owner: UUID, ttl_s: float) -> NamedLease:
        """Have the lease for `ttl_s` seconds if it is free or this owner's already; who has it now. StoreUnavailable,
        BadInput for a name that no store can hold."""
        ...

    async def give_back(self, name: str, owner: UUID) -> None:
        """Let it go, if it is this owner's: the next one need not wait for its end. StoreUnavailable."""
        ...


def check_lease_name(name: str) -> None:
    """BadInput for a name that no store can hold."""
    if not 0 < len(name) <= LEASE_NAME_LENGTH_MAX or "\0" in name:
        raise BadInput(f"the lease {name[:40]!r} needs a name of 1 to {LEASE_NAME_LENGTH_MAX} characters without NUL")
