"""What commits carried besides events, as it stands in either store."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from eventstore.memory.store import MemoryStore
from eventstore.postgres.store import PostgresStore
from eventstore.records import Waiting
from eventstore.store import EventStore
from protocol.subjects import Address

AskRow = tuple[Address, str, datetime, str, bytes | None]


class Carried(Protocol):
    async def asks(self) -> Mapping[str, AskRow]: ...

    async def parked(self) -> dict[Address, str]: ...

    async def waiting(self) -> list[Waiting]: ...


def carried_by(store: EventStore) -> Carried:
    if isinstance(store, PostgresStore):
        return _InPostgres(store)
    assert isinstance(store, MemoryStore)
    return _InMemory(store)


class _InPostgres:
    def __init__(self, store: PostgresStore) -> None:
        self._pool = store.pool

    async def asks(self) -> Mapping[str, AskRow]:
        return {
            row["id"]: (_address(row), row["reply_to"], row["deadline"], row["correlation"], row["answer"])
            for row in await self._pool.fetch("select * from asks")
        }

    async def parked(self) -> dict[Address, str]:
        return {_address(row): row["reason"] for row in await self._pool.fetch("select * from parked_actors")}

    async def waiting(self) -> list[Waiting]:
        return [
            Waiting(
                _address(row), row["key"], row["type"], row["body"], row["headers"], row["at"], row["correlation"],
                row["deadline"], row["reply_to"],
            )
            for row in await self._pool.fetch("select * from parked_commands order by id")
        ]  # fmt: skip


class _InMemory:
    def __init__(self, store: MemoryStore) -> None:
        self._tables = vars(store)["_tables"]

    async def asks(self) -> Mapping[str, AskRow]:
        return {
            id_: (row.address, row.ask.reply_to, row.ask.deadline, row.ask.correlation, row.answer)
            for (_, id_), row in self._tables.asks.items()
        }

    async def parked(self) -> dict[Address, str]:
        return {address: row.reason for address, row in self._tables.parked.items()}

    async def waiting(self) -> list[Waiting]:
        return [row.waiting for _, row in sorted(self._tables.parked_commands.items())]


def _address(row: Any) -> Address:
    return Address(row["project"], row["kind"], row["name"])
