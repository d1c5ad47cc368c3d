"""The processes of a company, and how they share its partitions, written as promises.

A worker is alive for as long as it has said so lately. Who is alive decides how many partitions each is to have; who
owns one is decided by its lease alone. Nothing rests on this table but who takes how many.
"""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Worker:
    """One process. `alone`: it holds the lock of its state folder, so there is one of those at a time. `effects`: the
    kinds of effects it performs."""

    id: UUID
    alone: bool = False
    effects: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """A partition with an owner, and the epoch that began when it was taken. `expires_in_s` is negative when its lease
    is over."""

    partition: int
    owner: UUID
    expires_in_s: float
    epoch: int


@dataclass(frozen=True, slots=True)
class Roster:
    """Who is alive, in the order of their ids, and who owns what."""

    workers: tuple[Worker, ...]
    holdings: tuple[Holding, ...]


@dataclass(frozen=True, slots=True)
class CursorPlace:
    """How far a partition is settled: a sequence of COMMANDS, and the witness of the message there."""

    partition: int
    cursor: int
    witness: str


class Workers(Protocol):
    """Who runs the company."""

    async def beat(self, worker: Worker, ttl_s: float) -> None:
        """This worker is alive for the next `ttl_s` seconds. StoreUnavailable."""
        ...

    async def roster(self) -> Roster:
        """Who is alive and who owns what, by the store's clock. StoreUnavailable."""
        ...

    async def leave(self, *workers: UUID) -> None:
        """These are alive no more. Their leases stay what they are. StoreUnavailable."""
        ...

    async def lowest(self) -> CursorPlace | None:
        """The lowest of all cursors; None before any partition was ever owned. StoreUnavailable."""
        ...
