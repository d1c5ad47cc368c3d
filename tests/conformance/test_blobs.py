"""What `eventstore/blobs.py` promises: one blob by its bytes in its project, whole or not at all, streamed, checked."""

import hashlib
from collections.abc import AsyncGenerator

import pytest

from eventstore.blobs import BLOB_BYTES_MAX, CHUNK_BYTES, BadBlob, BlobRef
from eventstore.errors import BlobMissing, BlobTooBig, StoreError, TamperedBlob
from eventstore.store import EventStore
from tests.kit.blobs import spoil_blob, streamed

HALF = CHUNK_BYTES // 2
BIG = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"and a rest"  # Two chunks and a little.


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def read(store: EventStore, sha256: str, project: str = "demo") -> bytes:
    return b"".join([piece async for piece in store.blobs.open(project, sha256)])


async def test_a_blob_is_stored_once_by_content_in_its_project(store: EventStore) -> None:
    sha256 = await store.blobs.put("demo", b"\x00content")
    assert await store.blobs.put("demo", b"\x00content") == sha256 == sha256_of(b"\x00content")
    assert await store.blobs.get("demo", sha256) == b"\x00content"
    assert await store.blobs.get("demo", sha256.upper()) == b"\x00content"
    assert await store.blobs.get("other", sha256) is None
    assert await store.blobs.stat("other", sha256) is None
    assert await store.blobs.get("demo", "0" * 64) is None
    assert [blob.sha256 async for blob in store.blobs.each()] == [sha256]


@pytest.mark.parametrize("sha256", ["../etc/passwd", "", "ab", "g" * 64, "0" * 63])
async def test_what_is_no_hash_is_refused(store: EventStore, sha256: str) -> None:
    with pytest.raises(StoreError, match="not a SHA-256"):
        await store.blobs.get("demo", sha256)
    with pytest.raises(StoreError, match="not a SHA-256"):
        await store.blobs.stat("demo", sha256)
    with pytest.raises(StoreError, match="not a SHA-256"):
        await read(store, sha256)


@pytest.mark.parametrize("project", ["", "a/b", "nul\0", "a" * 200])
async def test_a_project_that_cannot_be_one_is_refused(store: EventStore, project: str) -> None:
    with pytest.raises(StoreError, match="project"):
        await store.blobs.put(project, b"content")
    with pytest.raises(StoreError, match="project"):
        await store.blobs.write(project, streamed([b"content"]))


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b""],
        [b"small"],
        [b"", b"a", b"", b"b"],
        [b"x" * CHUNK_BYTES],
        [b"x" * CHUNK_BYTES, b"y"],
        [b"x" * HALF, b"y" * HALF, b"z" * HALF],
        [BIG],
    ],
    ids=["nothing", "an empty piece", "small", "crumbs", "one chunk", "a chunk and a byte", "halves", "one big piece"],
)
async def test_a_stream_is_the_blob_of_its_bytes(store: EventStore, pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    ref = await store.blobs.write("demo", streamed(pieces))
    assert ref == BlobRef(sha256_of(content), len(content))
    assert await store.blobs.get("demo", ref.sha256) == content
    read_back = [piece async for piece in store.blobs.open("demo", ref.sha256)]
    assert b"".join(read_back) == content
    assert all(0 < len(piece) <= CHUNK_BYTES for piece in read_back)
    found = await store.blobs.stat("demo", ref.sha256)
    assert found is not None
    assert (found.project, found.sha256, found.size) == ("demo", ref.sha256, len(content))


@pytest.mark.parametrize("put_first", [True, False])
async def test_the_same_bytes_are_stored_once_however_they_come(store: EventStore, put_first: bool) -> None:
    async def write() -> str:
        return (await store.blobs.write("demo", streamed([BIG]))).sha256

    async def put() -> str:
        return await store.blobs.put("demo", BIG)

    first, second = (put, write) if put_first else (write, put)
    assert await first() == await second() == await first()
    assert [(blob.sha256, blob.size) async for blob in store.blobs.each("demo")] == [(sha256_of(BIG), len(BIG))]
    assert await read(store, sha256_of(BIG)) == BIG
    assert await store.blobs.get("demo", sha256_of(BIG)) == BIG


async def test_what_is_too_big_to_be_held_has_to_be_streamed(store: EventStore) -> None:
    most = bytes(BLOB_BYTES_MAX)
    sha256 = await store.blobs.put("demo", most)
    assert await store.blobs.get("demo", sha256) == most
    with pytest.raises(BlobTooBig, match="write"):
        await store.blobs.put("demo", most + b"!")
    ref = await store.blobs.write("demo", streamed([most, b"!"]))
    with pytest.raises(BlobTooBig, match="open"):
        await store.blobs.get("demo", ref.sha256)
    assert sum([len(piece) async for piece in store.blobs.open("demo", ref.sha256)]) == ref.size == len(most) + 1


async def test_a_blob_that_is_not_there_cannot_be_opened(store: EventStore) -> None:
    with pytest.raises(BlobMissing, match="0000"):
        await read(store, "0" * 64)


async def test_a_stream_that_breaks_leaves_nothing(store: EventStore) -> None:
    async def breaking() -> AsyncGenerator[bytes]:
        yield BIG
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await store.blobs.write("demo", breaking())
    assert [blob async for blob in store.blobs.each()] == []
    assert await store.blobs.stat("demo", sha256_of(BIG)) is None


@pytest.mark.parametrize("at", [0, CHUNK_BYTES - 1, CHUNK_BYTES, len(BIG) - 1])
async def test_a_changed_byte_is_never_given_out_as_if_it_were_stored(store: EventStore, at: int) -> None:
    sha256 = (await store.blobs.write("demo", streamed([BIG]))).sha256
    good = await store.blobs.put("demo", b"good")
    await spoil_blob(store, "demo", sha256, at)
    with pytest.raises(TamperedBlob, match=sha256):
        await store.blobs.get("demo", sha256)
    with pytest.raises(TamperedBlob, match=sha256):
        await read(store, sha256)
    bad = [found async for found in store.blobs.check()]
    assert [(found.project, found.sha256) for found in bad] == [("demo", sha256)]
    assert await read(store, good) == b"good"


async def test_a_check_names_every_bad_blob_and_no_other(store: EventStore) -> None:
    names = [await store.blobs.put(f"p{n % 2}", b"content %d" % n) for n in range(40)]
    for n in (0, 7, 39):
        await spoil_blob(store, f"p{n % 2}", names[n])
    wrong = {("p0", names[0]), ("p1", names[7]), ("p1", names[39])}
    found = [bad async for bad in store.blobs.check()]
    assert {(bad.project, bad.sha256) for bad in found} == wrong
    assert len(found) == 3
    mine = [bad async for bad in store.blobs.check("p0")]
    assert mine == [BadBlob("p0", names[0], mine[0].wrong)]
    assert "SHA-256" in mine[0].wrong


async def test_blobs_are_listed_by_project_and_hash(store: EventStore) -> None:
    put = [(f"p{n % 3}", await store.blobs.put(f"p{n % 3}", b"x" * n)) for n in range(30)]
    listed = [(blob.project, blob.sha256) async for blob in store.blobs.each()]
    assert listed == sorted(put)
    mine = [(blob.project, blob.sha256) async for blob in store.blobs.each("p1")]
    assert mine == [key for key in listed if key[0] == "p1"]
