"""`troupe audit`: what it says of a log that holds, and of one that does not; archives out of it and into another."""

import json
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest
import pytest_asyncio

from actors.cli.exits import Exit
from actors.cli.main import main
from actors.embedded.folder import StateFolder
from actors.embedded.servers import Servers
from actors.runtime.anchors import AnchorStream, Notary
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.signing import signer_of
from eventstore.heads import SignedHead
from eventstore.postgres.store import PostgresStore
from tests.kit.chains import LAST, LINKS, write_log
from tests.kit.command_line import ROOT
from tests.kit.servers import drop_database, fresh_database


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest_asyncio.fixture(loop_scope="session")
async def log(database: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log on a server of its own, with a bus that never was. The DSN."""
    async with PostgresStore.open(database) as store:
        await write_log(store)
        await store.blobs.put("demo", b"content")
    monkeypatch.setenv("TROUPE_POSTGRES_URL", database)
    return database


@pytest_asyncio.fixture(loop_scope="session")
async def empty(servers: Servers) -> AsyncGenerator[str]:
    dsn = await fresh_database(servers)
    yield dsn
    await drop_database(servers, dsn)


def tamper(dsn: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(dsn, server_settings={"search_path": "troupe, public"})
        await connection.execute(statement)
        await connection.close()

    anyio.run(execute)


def answer(capfd: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["audit", *arguments, "--json"]) == Exit.OK
    return json.loads(capfd.readouterr().out)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["audit", *arguments])
    said = capfd.readouterr()
    assert said.out == ""
    return code, said.err


def test_a_log_that_holds(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    said = answer(capfd, "verify")
    assert (said["first"], said["last"], said["commits"], said["broken"]) == (1, LAST, len(LINKS), None)
    assert main(["audit", "verify", "--from", "3", "--to", "7", "--processes", "1"]) == Exit.OK
    assert "positions 2 to 8 hold, in 2 commits" in capfd.readouterr().out
    assert refused(capfd, "verify", "--from", "99")[0] == Exit.USAGE


def test_the_first_bad_position_is_named(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    tamper(log, "update events set body = '{}' where position in (5, 8)")
    code, said = refused(capfd, "verify")
    assert (code, said.startswith("troupe: position 5: the event is not what was committed")) == (Exit.DIVERGENCE, True)
    assert main(["audit", "verify", "--from", "7", "--json"]) == Exit.DIVERGENCE
    broken = json.loads(capfd.readouterr().out)["broken"]
    assert broken == {"position": 8, "what": "the event is not what was committed"}
    assert main(["audit", "verify", "--to", "1"]) == Exit.OK


def test_an_archive_proves_itself_and_becomes_another_log(
    log: str,
    empty: str,
    state: Path,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = signer_of(StateFolder.open(state).path).key
    file = tmp_path / "log.troupe"
    said = answer(capfd, "export", str(file), "--blobs")
    assert (said["first"], said["last"], said["blobs"], said["signed_to"]) == (1, LAST, 1, LAST)
    done = subprocess.run([ROOT / "bin/verify", file, "--key", key], capture_output=True, text=True)
    assert (done.returncode, f"signed up to position {LAST} by {key}" in done.stdout) == (0, True), done.stderr
    assert refused(capfd, "export", str(file))[0] == Exit.USAGE
    assert main(["audit", "export", str(tmp_path / "part"), "--from", "3", "--to", "7"]) == Exit.OK
    assert "widened to whole commits: positions 2 to 8" in capfd.readouterr().err

    assert refused(capfd, "import", str(file)) == (
        Exit.USAGE,
        f"troupe: restore {file}: there are events in the log already; restore into a new schema or database\n",
    )
    monkeypatch.setenv("TROUPE_POSTGRES_URL", empty)
    assert refused(capfd, "import", str(tmp_path / "part"))[0] == Exit.USAGE
    damaged = tmp_path / "damaged"
    damaged.write_bytes(file.read_bytes().replace(b'{"n":2}', b'{"n":3}', 1))
    code, why = refused(capfd, "import", str(damaged))
    assert (code, "position 3" in why) == (Exit.DIVERGENCE, True)
    assert answer(capfd, "import", str(file))["root"] == said["root"]
    assert answer(capfd, "verify")["root"] == said["root"]


def test_an_export_that_fails_leaves_no_file(log: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert refused(capfd, "export", str(tmp_path / "x"), "--from", "99")[0] == Exit.USAGE
    assert list(tmp_path.glob("x*")) == []


def test_the_head_is_signed_for_keeping(log: str, state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "sign"]) == Exit.OK
    head = SignedHead.parse(capfd.readouterr().out.encode())
    assert (head.holds(), head.position, head.log) == (True, LAST, "troupe")
    assert head.key == signer_of(StateFolder.open(state).path).key


def test_an_empty_log_has_no_head(
    empty: str, state: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE_POSTGRES_URL", empty)
    assert refused(capfd, "sign")[0] == Exit.NOT_FOUND
    assert answer(capfd, "verify")["commits"] == 0


@pytest_asyncio.fixture(loop_scope="session")
async def anchored(log: str, servers: Servers, state: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[str]:
    """The log, with an anchor on a real bus. The public key."""
    url = servers.nats_url.replace("nats://", f"nats://{servers.nats_token}@")
    monkeypatch.setenv("TROUPE_NATS_URL", url)
    signer = signer_of(StateFolder.open(state).path)
    async with NatsBus.open(servers.nats_url, servers.nats_token) as bus, PostgresStore.open(log) as store:
        await Notary(store, AnchorStream(lambda: bus.client, "troupe"), signer, utc_now).anchor()
        yield signer.key
        await bus.client.jetstream().delete_stream("ANCHORS")


def test_a_log_written_anew_is_found_by_its_anchor(
    log: str, anchored: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = answer(capfd, "verify")
    assert (said["anchors"], said["anchored_to"]) == (1, LAST)
    assert main(["audit", "verify", "--key", "00" * 32]) == Exit.OK
    assert "not signed by 0000" in capfd.readouterr().err
    assert answer(capfd, "export", str(tmp_path / "log"))["signed_to"] == LAST

    tamper(log, "update events set body = '{}' where position = 13")
    tamper(log, "delete from commits where last_position = 13")
    tamper(log, "select seal(13, 13, null)")
    code, why = refused(capfd, "verify")
    assert code == Exit.DIVERGENCE
    assert f"position {LAST}: the anchor of" in why
    assert "after position 0 it was written anew" in why
    assert main(["audit", "verify", "--to", "13"]) == Exit.OK, "a range is judged by what is in it"


def test_anchors_out_of_reach_are_said_to_be(
    log: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE_NATS_URL", "nats://127.0.0.1:9")
    assert main(["audit", "verify"]) == Exit.OK
    said = capfd.readouterr()
    assert "positions 1 to 13 hold" in said.out
    assert "the log was not compared with its anchors: cannot reach NATS" in said.err
