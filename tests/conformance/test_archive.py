"""The promises of archives and audits. Each holds for every adapter, and an archive of one is as good for another."""

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventstore import archive, chain, verifier
from eventstore.archive import EMPTY
from eventstore.errors import BrokenArchive
from eventstore.heads import Signer, new_key
from eventstore.memory.store import MemoryStore
from eventstore.store import EventStore, NewEvent, StoreError
from protocol.subjects import Address
from tests.kit.chains import LAST, LINKS, archive_of, stream_of, write_log
from tests.kit.units import NOON, Owner, actor, event, unit


async def links_of(store: EventStore, path: Path) -> list[verifier.Link]:
    opened = verifier.Archive(await archive_of(store, path))
    opened.check()
    return list(verifier.LinkRows().read(opened.pieces("commits.copy")))


async def test_stored_links_are_those_of_the_page(store: EventStore, tmp_path: Path) -> None:
    """Whether they were digested before sending, or by the store when a unit lost or versions were not known."""
    await write_log(store)
    events = await store.read(0)
    found = await links_of(store, tmp_path / "log.zip")
    assert [(link.first, link.last) for link in found] == LINKS
    previous = b""
    for link in found:
        leaves = [
            chain.leaf(chain.stream_prefix(e.address), e.version, e.at, e.type, e.correlation, e.causation, e.body)
            for e in events[link.first - 1 : link.last]
        ]
        assert link.digest + link.marks == chain.digest_and_marks(leaves)
        assert link.format == chain.FORMAT
        assert link.follows(previous)
        previous = link.root
    assert [link.at for link in found] == sorted(link.at for link in found)
    assert (await store.audit.verify()).broken is None
    assert await store.audit.head() == (LAST, previous.hex())
    assert (await store.audit.roots_at([6])).get(6) == found[1].root.hex()
    assert (await store.audit.roots_at([5])).get(5) is None


async def test_a_stretch_is_widened_to_whole_commits(store: EventStore, tmp_path: Path) -> None:
    await write_log(store)
    audited = await store.audit.verify(first=3, last=7)
    assert audited.broken is None
    assert (audited.stretch.first, audited.stretch.last, audited.stretch.commits) == (2, 8, 2)
    assert audited.stretch.root_before == (await store.audit.roots_at([1])).get(1)
    assert audited.stretch.root == (await store.audit.roots_at([8])).get(8)
    report = verifier.Archive(await archive_of(store, tmp_path / "log.zip", 3, 7)).check()
    assert (report.first, report.last, report.root) == (2, 8, audited.stretch.root)
    assert (await store.audit.verify(first=LAST)).stretch.first == LAST


@pytest.mark.parametrize(("first", "last"), [(0, None), (3, 2), (LAST + 1, None), (1, LAST + 1), (-5, None)])
async def test_what_the_log_does_not_have_is_neither_verified_nor_exported(
    store: EventStore, first: int, last: int | None
) -> None:
    await write_log(store)
    with pytest.raises(StoreError, match="position"):
        await store.audit.verify(first, last)
    with pytest.raises(StoreError, match="position"):
        await store.archive.export(io.BytesIO(), first, last)


async def test_a_log_without_events_holds_and_can_be_exported_and_restored(store: EventStore, tmp_path: Path) -> None:
    assert (await store.audit.verify()).stretch == EMPTY
    assert await store.audit.head() == (0, "")
    path = await archive_of(store, tmp_path / "log.zip")
    assert verifier.Archive(path).check().commits == 0
    assert await store.archive.restore(path) == EMPTY
    assert await store.append(actor(), [event()]) == 1


async def test_an_archive_is_a_zip_file_that_any_tool_opens(store: EventStore, tmp_path: Path) -> None:
    await write_log(store)
    await store.blobs.put("demo", b"content")
    path = await archive_of(store, tmp_path / "log.zip", blobs=True)
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        assert [name.split("/")[0] for name in opened.namelist()] == [
            "commits.copy", "events.copy", "heads.jsonl", "blobs", "manifest.json",
        ]  # fmt: skip


async def test_a_restored_log_is_the_same_log_and_goes_on(store: EventStore, tmp_path: Path) -> None:
    """From an archive of the other adapter, so that both write and read the same format."""
    origin = MemoryStore()
    await write_log(origin)
    blob = await origin.blobs.put("demo", b"\x00content" * 1000)
    path = await archive_of(origin, tmp_path / "log.zip", blobs=True)
    stretch = await store.archive.restore(path)
    assert (stretch.first, stretch.last, stretch.commits, stretch.blobs) == (1, LAST, len(LINKS), 1)
    assert await store.read(0) == await origin.read(0)
    assert await store.read_stream(actor("a1")) == await origin.read_stream(actor("a1"))
    assert await store.audit.head() == await origin.audit.head()
    assert await store.blobs.get("demo", blob) == b"\x00content" * 1000
    again = await archive_of(store, tmp_path / "again.zip")
    assert verifier.Archive(again).check().root == stretch.root

    with pytest.raises(StoreError, match="belongs to an actor"):
        await store.append(actor("a1"), [event()])
    await store.append(actor("plain"), [event(3)], expected=2)
    owner = await Owner.of(store)
    (verdict,) = await owner.commit(unit("a1", 4, "c9"))
    assert (verdict.status, verdict.first_position) == ("committed", LAST + 2)
    assert (await store.audit.verify()).broken is None


async def test_only_an_empty_log_takes_an_archive_and_only_one_that_begins_at_the_beginning(
    store: EventStore, tmp_path: Path
) -> None:
    await write_log(store)
    path, later = await archive_of(store, tmp_path / "log.zip"), await archive_of(store, tmp_path / "later.zip", 9)
    with pytest.raises(StoreError, match="events in the log already"):
        await store.archive.restore(path)
    with pytest.raises(StoreError, match="begins at position 9"):
        await store.archive.restore(later)
    with pytest.raises(StoreError, match="cannot read"):
        await store.archive.restore(tmp_path / "nowhere.zip")
    assert await store.head() == LAST


async def test_a_broken_archive_is_not_restored(store: EventStore, tmp_path: Path) -> None:
    origin = MemoryStore()
    await write_log(origin)
    path = await archive_of(origin, tmp_path / "log.zip")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'{"n":3}', b'{"n":4}'))
    with pytest.raises(BrokenArchive, match="position 4: the event is not what was committed"):
        await store.archive.restore(path)
    assert await store.head() == 0
    assert await store.audit.head() == (0, "")


async def test_signed_heads_of_this_log_travel_with_it(store: EventStore, tmp_path: Path) -> None:
    await write_log(store)
    signer, stranger = Signer.from_pem(new_key()), Signer.from_pem(new_key())
    root = (await store.audit.roots_at([8])).get(8)
    assert root is not None
    mine, other = signer.sign("troupe", 8, root, NOON), signer.sign("troupe", 10, root, NOON)
    path = await archive_of(store, tmp_path / "log.zip", heads=[mine, other])
    report = verifier.Archive(path).check(signer.key)
    assert (report.signed, report.key) == (8, signer.key)
    with pytest.raises(verifier.Broken, match="no head in it is signed by"):
        verifier.Archive(path).check(stranger.key)
    without = await archive_of(store, tmp_path / "without.zip", 9, heads=[mine])
    assert verifier.Archive(without).check().signed == 0


async def test_foreign_history_becomes_part_of_the_log(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "IMPORT_EVENTS_MAX", 4)
    await store.append(actor("b"), [event(1)])
    history = [(actor("ab"[n % 2]), event(n, f"läuft{n}", f"task.n{n % 3}.v1")) for n in range(10)]
    told: list[tuple[int, int]] = []
    imported = await store.archive.import_events(stream_of(*history), lambda n, head: told.append((n, head)))
    assert imported == 10
    assert told == [(4, 5), (8, 9), (10, 11)]
    rows = await store.read(1)
    assert [(r.address, NewEvent(r.type, r.body, r.at, r.correlation, r.causation)) for r in rows] == history
    assert [r.version for r in await store.read_stream(actor("b"))] == [1, 2, 3, 4, 5, 6]
    audited = await store.audit.verify()
    assert (audited.broken, audited.stretch.commits) == (None, 4)
    await store.append(actor("a"), [event(1)], expected=5)


async def test_an_import_into_an_actors_stream_stops_there(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "IMPORT_EVENTS_MAX", 2)
    owner = await Owner.of(store)
    await owner.commit(unit("taken"))
    history = [
        (actor("free"), event(1)),
        (actor("free"), event(2)),
        (actor("free"), event(3)),
        (actor("taken"), event()),
    ]
    with pytest.raises(StoreError, match="belongs to an actor"):
        await store.archive.import_events(stream_of(*history))
    assert [r.version for r in await store.read_stream(actor("free"))] == [1, 2]
    assert await store.head() == 3


async def test_an_import_takes_only_what_can_be_stored(store: EventStore) -> None:
    bad = NewEvent("task.noted.v1", b"{}", NOON, "run\0", "c1")
    with pytest.raises(StoreError, match="NUL"):
        await store.archive.import_events(stream_of((actor(), bad)))
    assert await store.archive.import_events(stream_of()) == 0
    assert await store.head() == 0


async def test_a_source_that_fails_leaves_a_beginning(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "IMPORT_EVENTS_MAX", 2)

    async def failing() -> AsyncIterator[tuple[Address, NewEvent]]:
        for n in range(5):
            yield actor("x"), event(n)
        raise LookupError("the source is gone")

    with pytest.raises(LookupError, match="the source is gone"):
        await store.archive.import_events(failing())
    assert await store.head() == 4
    assert (await store.audit.verify()).broken is None


async def test_nobody_waits_for_a_source_that_rests(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log's lock is taken for the writing of a commit only, never while the next events are awaited."""
    monkeypatch.setattr(archive, "IMPORT_EVENTS_MAX", 2)

    async def resting() -> AsyncIterator[tuple[Address, NewEvent]]:
        for n in range(4):
            await store.append(actor("between"), [event(n)])
            yield actor("x"), event(n)

    assert await store.archive.import_events(resting()) == 4
    assert [r.address.name for r in await store.read(0)] == [
        "between", "between", "between", "x", "x", "between", "x", "x",
    ]  # fmt: skip
    assert (await store.audit.verify()).broken is None


async def test_an_import_shares_its_streams_with_others(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "IMPORT_EVENTS_MAX", 1)

    async def contended() -> AsyncIterator[tuple[Address, NewEvent]]:
        for n in range(3):
            yield actor("x"), event(n)
            await store.append(actor("x"), [event(n)])

    await store.archive.import_events(contended())
    assert [r.version for r in await store.read_stream(actor("x"))] == [1, 2, 3, 4, 5, 6]
    assert (await store.audit.verify()).broken is None
