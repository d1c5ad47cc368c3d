"""What tests do to blobs behind the back of their store, and streams of bytes to store."""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from datetime import timedelta

from eventstore.blobs import CHUNK_BYTES
from eventstore.memory.store import MemoryStore
from eventstore.postgres.store import PostgresStore
from eventstore.store import EventStore

DAY_S = 86_400.0


async def age_blobs(store: EventStore, by_s: float) -> None:
    """As if so much time had passed since every blob was put and every upload written to."""
    if isinstance(store, PostgresStore):
        for table in ("blobs", "blob_uploads"):
            await store.pool.execute(f"update {table} set touched_at = touched_at - make_interval(secs => $1)", by_s)
        return
    assert isinstance(store, MemoryStore)
    for key, blob in store.blobs.rows.items():
        store.blobs.rows[key] = replace(blob, touched_at=blob.touched_at - timedelta(seconds=by_s))


async def spoil_blob(store: EventStore, project: str, sha256: str, at: int = 0) -> None:
    """Change one byte of what is stored, wherever it is."""
    if isinstance(store, PostgresStore):
        spoiled = "set_byte({0}, $3, get_byte({0}, $3) # 1)"
        found = await store.pool.fetchrow(
            "select body, content is null from blobs where project = $1 and sha256 = $2", project, bytes.fromhex(sha256)
        )
        assert found is not None
        key, table, column = (project, bytes.fromhex(sha256)), "blobs where project = $1 and sha256 = $2", "content"
        if found[1]:
            key, table, column = (found[0], at // CHUNK_BYTES), "blob_chunks where body = $1 and n = $2", "bytes"
            at %= CHUNK_BYTES
        name, _, where = table.partition(" ")
        await store.pool.execute(f"update {name} set {column} = {spoiled.format(column)} {where}", *key, at)
        return
    assert isinstance(store, MemoryStore)
    blob = store.blobs.rows[project, sha256]
    content = bytearray(blob.content)
    content[at] ^= 1
    store.blobs.rows[project, sha256] = replace(blob, content=bytes(content))


async def streamed(pieces: Iterable[bytes]) -> AsyncGenerator[bytes]:
    """The pieces, one after another."""
    for piece in pieces:
        yield piece


async def age_effects(store: EventStore, by_s: float) -> None:
    """As if so much time had passed since every effect fell due."""
    if isinstance(store, PostgresStore):
        await store.pool.execute("update effects set due = due - make_interval(secs => $1)", by_s)
        return
    assert isinstance(store, MemoryStore)
    for row in store.blobs.effects.values():
        row.due -= timedelta(seconds=by_s)
