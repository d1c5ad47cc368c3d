"""What the runtime does with blobs: it stores what is too big for one piece as a stream, and collects now and then."""

import anyio
import pytest

from actors.runtime.blobs import collect_blobs, keep_blob
from eventstore.blobs import BLOB_BYTES_MAX, Sweep
from eventstore.memory.store import MemoryStore
from eventstore.store import StoreError, StoreUnavailable
from tests.kit.blobs import DAY_S, age_blobs

PATIENCE_S = 20.0


async def test_content_of_any_size_is_kept() -> None:
    store = MemoryStore()
    for content in (b"small", bytes(BLOB_BYTES_MAX + 1)):
        sha256 = await keep_blob(store, "demo", content)
        found = await store.blobs.stat("demo", sha256)
        assert found is not None
        assert found.size == len(content)


@pytest.mark.parametrize("error", [StoreUnavailable("the server is away"), StoreError("something else")])
async def test_a_company_collects_again_and_again_whatever_goes_wrong(
    error: StoreError, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    collect, twice = store.blobs.collect, anyio.Event()
    errors, sweeps = [error], list[Sweep]()

    async def failing_first() -> Sweep:
        if errors:
            raise errors.pop()
        sweeps.append(await collect())
        if len(sweeps) == 2:
            twice.set()
        return sweeps[-1]

    monkeypatch.setattr(store.blobs, "collect", failing_first)
    await store.blobs.put("demo", b"nobody needs this")
    await age_blobs(store, 30 * DAY_S)
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(collect_blobs, store, 0.0, 0.0)
            await twice.wait()
            group.cancel_scope.cancel()
    assert sweeps[:2] == [Sweep(1, 17, 0), Sweep(0, 0, 0)]
