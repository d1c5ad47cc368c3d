"""Blobs on the command line: big artifacts are streamed to where they go, and garbage is taken away on demand."""

import hashlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from actors.cli.exits import Exit
from actors.cli.main import main
from eventstore.blobs import CHUNK_BYTES
from eventstore.postgres.store import PostgresStore
from tests.integration.test_cli_views import delivering
from tests.kit.blobs import age_blobs, spoil_blob, streamed
from tests.kit.board_run import small_run
from tests.kit.views import append

BIG = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"the end"
DIGEST = hashlib.sha256(BIG).hexdigest()
GARBAGE = b"nobody needs this"


@pytest_asyncio.fixture(loop_scope="session")
async def log(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncGenerator[PostgresStore]:
    """A log with one run whose architect delivered BIG, and an old blob that nobody names."""
    monkeypatch.setenv("TROUPE_POSTGRES_URL", database)
    monkeypatch.setenv("TROUPE_PROJECT", "demo")
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("actors.cli.blob_files.BLOB_BYTES_MAX", CHUNK_BYTES)  # What is streamed here is really bigger.
    async with PostgresStore.open(database) as store:
        await store.blobs.write("demo", streamed([BIG]))
        await store.blobs.put("demo", GARBAGE)
        await append(store, [delivering(happened, DIGEST) for happened in small_run()])
        await age_blobs(store, 30 * 86_400)
        yield store


@pytest_asyncio.fixture(loop_scope="session")
async def spoilt(log: PostgresStore) -> None:
    await spoil_blob(log, "demo", DIGEST, len(BIG) - 1)


GET = ("artifact", "get", "t1", "architect/report.md")


@pytest.mark.usefixtures("log")
def test_a_big_artifact_is_streamed_to_its_file(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    target = tmp_path / "out" / "big.bin"
    target.parent.mkdir()
    assert main([*GET, "-o", str(target)]) == Exit.OK
    told = capfdbinary.readouterr()
    assert target.read_bytes() == BIG
    assert list(target.parent.iterdir()) == [target]
    assert (told.out, str(len(BIG)).encode() in told.err) == (b"", True)
    assert main(list(GET)) == Exit.OK
    assert capfdbinary.readouterr().out == BIG


@pytest.mark.usefixtures("spoilt")
def test_a_big_artifact_that_was_changed_is_a_divergence(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "out" / "big.bin"
    target.parent.mkdir()
    for arguments in ([*GET, "-o", str(target)], list(GET)):
        assert main(arguments) == Exit.DIVERGENCE
        told = capfd.readouterr()
        assert told.out == "", "nothing of it is shown"
        assert "not what was delivered" in told.err
    assert list(target.parent.iterdir()) == []


@pytest.mark.usefixtures("log")
def test_where_a_file_cannot_be_written_nothing_is(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*GET, "-o", str(tmp_path / "no/such/folder/big.bin")]) == Exit.FAILURE
    assert "cannot write" in capfd.readouterr().err


@pytest.mark.usefixtures("log")
def test_garbage_is_counted_and_taken_away(capfd: pytest.CaptureFixture[str]) -> None:
    def answer(*arguments: str) -> object:
        assert main(["blob", *arguments, "--json"]) == Exit.OK
        return json.loads(capfd.readouterr().out)

    both = {"project": "demo", "blobs": 2, "bytes": len(BIG) + len(GARBAGE)}
    garbage = {"blobs": 1, "size": len(GARBAGE), "uploads": 0, "complete": True}
    assert answer("stat") == both
    assert answer("stat", "--project", "other") == {"project": "other", "blobs": 0, "bytes": 0}
    assert answer("collect", "--grace", "31d") == garbage | {"blobs": 0, "size": 0}
    assert answer("collect", "--dry-run") == garbage
    assert answer("stat") == both
    assert main(["blob", "collect"]) == Exit.OK
    assert capfd.readouterr().out == f"blobs taken away: 1 ({len(GARBAGE)} bytes); unfinished uploads: 0\n"
    assert main(["blob", "stat"]) == Exit.OK
    assert capfd.readouterr().out.split() == ["Project", "Blobs", "Bytes", "demo", "1", str(len(BIG))]


@pytest.mark.parametrize("grace", ["7", "7 days", "", "-1d", "59m", "0s"])
def test_a_grace_that_is_none_is_refused(grace: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["blob", "collect", f"--grace={grace}"]) == Exit.USAGE
    told = capfd.readouterr()
    assert (told.out, "--grace" in told.err) == ("", True)
