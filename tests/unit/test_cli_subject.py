"""What `troupe subject` and its neighbours refuse before anything is started, and how sealed text is shown."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.cli.exits import Exit
from actors.cli.main import main
from actors.cli.opening import Opener
from actors.keyrings import MasterFiles, make_master
from eventstore.errors import BadMasterKey, UnknownMasterKey
from eventstore.memory.store import MemoryStore
from eventstore.store import Recorded
from projections.answers import TaskRow
from protocol.codec import encode
from protocol.personal import ERASED, is_sealed
from protocol.task import TaskSubmitted
from tests.kit.keys import Vault, sealed
from tests.kit.units import NOON, actor

MARK = "anna@example.org"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("TROUPE_MASTER_KEY", raising=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["subject", "forget", "--yes"], "either --person or --key"),
        (["subject", "forget", "--person", "p1", "--key", "k1", "--yes"], "either --person or --key"),
        (["subject", "forget", "--person", MARK, "--yes"], "no pseudonymous id"),
        (["subject", "forget", "--person", "p1"], "Say --yes"),
        (["subject", "list", "--limit", "0"], "1 key or more"),
        (["subject", "rewrap", "--to", "elsewhere"], "TROUPE_MASTER_KEY"),
        (["task", "submit", "x", "--contact", MARK], "--person"),
        (["task", "submit", "x", "--contact", MARK, "--person", "Anna Example"], "no name, no address"),
        (["task", "submit", "x", "--contact", MARK * 100, "--person", "p1"], "limit 500"),
    ],
)
def test_what_cannot_be_meant_is_told_and_nothing_is_started(
    arguments: Sequence[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(arguments) == Exit.USAGE
    said = capsys.readouterr().err
    assert words in said
    assert not (tmp_path / "state").exists()


def test_another_master_key_file_needs_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TROUPE_MASTER_KEY", str(tmp_path / "master"))
    assert main(["subject", "rewrap"]) == Exit.USAGE
    assert "where the new one goes" in capsys.readouterr().err


async def test_rows_events_and_files_are_opened_and_erased(capsys: pytest.CaptureFixture[str]) -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    token = await sealed(keyring, "p1", MARK)
    row = TaskRow("demo", "t1", "x", "", "active", "", "", NOON, None, None, 0, 0, 1, 0, 1, "p1", token)
    keys = (await keyring.opened("demo", [token])).keys
    content = await keyring.seal_bytes("demo", keys, MARK.encode())
    events = [_event(TaskSubmitted("x", "", "p1", token)), _event(TaskSubmitted("y")), _event(TaskSubmitted("z"), "q")]
    opener = Opener(keyring)
    assert [shown.contact for shown in await opener.rows("demo", [row])] == [MARK]
    shown = await opener.events(events)
    assert shown[0].body == encode(TaskSubmitted("x", "", "p1", MARK))
    assert shown[1:] == events[1:]
    assert await opener.content("demo", content) == MARK.encode()
    assert await opener.content("demo", b"plain") == b"plain"
    await keyring.forget("demo", "p1", NOON)
    assert [shown.contact for shown in await opener.rows("demo", [row])] == [ERASED]
    assert (await opener.events(events))[0].body == encode(TaskSubmitted("x", "", "p1", ERASED))
    assert await opener.content("demo", content) == ERASED.encode() + b"\n"
    assert opener.ended() == Exit.OK
    assert capsys.readouterr().err == ""


async def test_what_was_changed_is_shown_sealed_and_ends_in_divergence(capsys: pytest.CaptureFixture[str]) -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    token = await sealed(keyring, "p1", MARK)
    keys = (await keyring.opened("demo", [token])).keys
    content = await keyring.seal_bytes("demo", keys, b"content")
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    opener = Opener(keyring)
    event = _event(TaskSubmitted("x", "", "p1", changed))
    assert await opener.events([event, event]) == [event, event]
    assert await opener.content("demo", content[:-1]) == content[:-1]
    assert opener.ended() == Exit.DIVERGENCE
    said = capsys.readouterr().err
    assert said.count("was changed or cut") == 1, "once, however often it comes by"
    assert said.count("were changed or cut") == 1


async def test_without_a_master_key_it_is_shown_as_stored_and_what_was_forgotten_as_erased(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    kept, lost = await sealed(keyring, "p1", MARK), await sealed(keyring, "p2", MARK)
    await keyring.forget("demo", "p2", NOON)
    opener = Opener(Vault().keyring(store))
    events = [_event(TaskSubmitted("x", "", "p1", kept)), _event(TaskSubmitted("x", "", "p2", lost))]
    for _ in range(2):
        shown = await opener.events(events)
        assert [event.body for event in shown] == [events[0].body, encode(TaskSubmitted("x", "", "p2", ERASED))]
    assert opener.ended() == Exit.OK
    assert capsys.readouterr().err.count("TROUPE_MASTER_KEY") == 1
    asked_for_it = Opener()
    assert await asked_for_it.events(events) == events
    assert asked_for_it.ended() == Exit.OK
    assert capsys.readouterr().err == ""


def _event(event: TaskSubmitted, project: str = "demo") -> Recorded:
    return Recorded(1, replace(actor(), project=project), 1, "task.submitted.v1", NOON, "t1", "c1", encode(event))


async def test_the_first_start_makes_the_master_key_and_later_ones_need_it(tmp_path: Path) -> None:
    store, files = MemoryStore(), MasterFiles(tmp_path)
    assert await files.reading(store).open_text("demo", "plain") == "plain"
    assert not files.current.exists(), "a reader makes nothing"
    token = await sealed(await files.keyring(store), "p1", MARK)
    assert is_sealed(token)
    assert files.current.stat().st_mode & 0o777 == 0o600
    kept = files.current.read_bytes()
    assert await files.reading(store).open_text("demo", token) == MARK
    files.current.unlink()
    with pytest.raises(UnknownMasterKey, match="without it all sealed text is lost"):
        await files.keyring(store)
    assert not files.current.exists(), "another one would not help"
    with pytest.raises(UnknownMasterKey):
        await files.reading(store).open_text("demo", token)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(kept)
    named = MasterFiles(tmp_path, str(elsewhere))
    assert await (await named.keyring(store)).open_text("demo", token) == MARK
    with pytest.raises(BadMasterKey, match="nowhere"):
        await MasterFiles(tmp_path, str(tmp_path / "nowhere")).keyring(store)


def _is_not_there(_: Path) -> bool:
    return False


def test_whoever_is_first_makes_the_master_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two starts at once: the second finds the file gone when it looks, and there when it writes."""
    files = MasterFiles(tmp_path)
    first = make_master(files.current)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "exists", _is_not_there)
        assert make_master(files.current) == first
    assert [path.name for path in files.current.parent.iterdir()] == ["master"]
