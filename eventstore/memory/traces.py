"""Traces that were given, in memory: keeps the promises of `eventstore/traces.py`."""

from collections.abc import Collection

from anyio.lowlevel import checkpoint

from eventstore.memory.tables import Tables


class MemoryTraces:
    """The traces in the tables of one store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def given(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        await checkpoint()
        return {key: self._tables.traces[key] for key in keys if key in self._tables.traces}
