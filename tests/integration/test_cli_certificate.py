"""`troupe audit certificate`: a clean log is certified, whatever is wrong beside or in it is named, and no byte of the
report can be changed."""

import json
import subprocess
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
from eventstore.certificate import SignedCertificate
from eventstore.errors import BadCertificate
from eventstore.postgres.store import PostgresStore
from projections.projector import Projector
from projections.queries import VIEWS
from tests.kit.command_line import ROOT
from tests.kit.histories import write_history

STRIDE = 97  # Of the bytes of a report that are changed, one after the other.


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest_asyncio.fixture(loop_scope="session")
async def log(database: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log with a bit of everything, and its views, on a server of its own, with a bus that never was. The DSN."""
    async with PostgresStore.open(database) as store:
        await write_history(store)
        await Projector(store, store.pool, VIEWS).catch_up()
    monkeypatch.setenv("TROUPE_POSTGRES_URL", database)
    return database


def sql(dsn: str, statement: str) -> Any:
    async def execute() -> Any:
        connection = await asyncpg.connect(dsn, server_settings={"search_path": "troupe, public"})
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return anyio.run(execute)


def certified(capfd: pytest.CaptureFixture[str], expected: Exit, *arguments: str) -> Any:
    """What is in the certificate that is printed."""
    assert main(["audit", "certificate", *arguments]) == expected
    heard = capfd.readouterr()
    return json.loads(heard.out)["certificate"]


def faults(capfd: pytest.CaptureFixture[str]) -> list[tuple[str, int, str]]:
    report = certified(capfd, Exit.DIVERGENCE)
    assert not report["passed"]
    return [(fault["part"], fault["position"], fault["what"]) for fault in report["faults"]]


def test_a_log_that_holds_is_certified_and_anybody_can_check_it(
    log: str, state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "certificate.json"
    assert main(["audit", "certificate", "--out", str(file)]) == Exit.OK
    heard = capfd.readouterr()
    head = sql(log, "select max(position) from events")
    assert f"passed: positions 1 to {head}, root" in heard.out
    signed = SignedCertificate.parse(file.read_bytes())
    report, key = signed.certificate, signer_of(StateFolder.open(state).path).key
    assert (signed.key, report.passed, report.faults, report.log) == (key, True, (), "troupe")
    assert (report.chain.last, report.beside.last, report.beside.partitions) == (head, head, 64)
    assert [view.view for view in report.views] == [view.name for view in VIEWS]
    assert {view.position for view in report.views} == {head}
    assert all(view.rows > 0 or view.view != "event_counts" for view in report.views)
    assert report.migration == sql(log, "select max(name) from migrations")

    alone = [ROOT / "bin/verify", "certificate", file]
    done = subprocess.run([*alone, "--key", key], capture_output=True, text=True)
    assert (done.returncode, done.stdout.startswith("passed: the log troupe on ")) == (0, True), done.stderr
    assert "not covered: a whole log that was written anew" in done.stdout
    done = subprocess.run([*alone, "--key", "00" * 32], capture_output=True, text=True)
    assert (done.returncode, f"is signed by {key}, not by 0000" in done.stderr) == (5, True)
    assert subprocess.run([ROOT / "bin/verify", "certificate", ROOT / "LICENSE"], capture_output=True).returncode == 2

    assert main(["audit", "certificate", "--check", str(file), "--key", key]) == Exit.OK
    assert "the log here still has that root at that position" in capfd.readouterr().out
    assert main(["audit", "certificate", "--out", str(file)]) == Exit.USAGE
    assert main(["audit", "certificate", "--out", str(tmp_path / "x"), "--restored-to", "99999"]) == Exit.USAGE
    assert not (tmp_path / "x").exists()


def test_no_byte_of_a_certificate_can_be_changed(
    log: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["audit", "certificate", "--json"]) == Exit.OK
    content = capfd.readouterr().out.encode()
    assert SignedCertificate.parse(content).certificate.passed
    for place in range(0, len(content), STRIDE):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(BadCertificate):
            SignedCertificate.parse(bytes(changed))
    for spaced in (content.replace(b'":', b'": ', 1), content + b"\n", content[:-1]):
        with pytest.raises(BadCertificate):
            SignedCertificate.parse(spaced)
    file = tmp_path / "changed"
    file.write_bytes(content.replace(b'"passed":true', b'"passed":null', 1))
    assert main(["audit", "certificate", "--check", str(file)]) == Exit.DIVERGENCE
    assert "the signature of the certificate is not of this text by this key" in capfd.readouterr().err


def test_a_changed_byte_is_named(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    sql(log, "update events set body = set_byte(body, 5, get_byte(body, 5) # 1) where position = 7")
    assert ("chain", 7, "the event is not what was committed") in faults(capfd)


def test_a_changed_row_of_a_view_is_named(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    home = sql(log, "select table_schema from information_schema.tables where table_name = 'event_counts'")
    sql(log, f"update {home}.event_counts set events = events + 1 where kind = 'counter'")
    sql(log, f"delete from {home}.event_counts where kind = 'player'")
    found = faults(capfd)
    assert {part for part, _, _ in found} == {"views"}
    said = [what for _, _, what in found]
    assert any("kind=counter" in what and what.endswith("is not what the log comes to, in events") for what in said)
    assert any("kind=player" in what and what.endswith("is missing") for what in said)
    assert all(position > 0 for _, position, _ in found)


def test_a_deleted_inbox_row_and_a_moved_cursor_are_named(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    id_ = sql(log, "delete from inbox where first_position = 9 returning id")
    ((part, position, what),) = faults(capfd)
    assert (part, position) == ("beside", 9)
    assert what.startswith(
        f"the event of demo/counter/c1 names the command {id_} as its cause, and the inbox has no row"
    )
    assert certified(capfd, Exit.OK, "--restored-to", "9")["beside"]["restored_to"] == 9
    sql(log, "update partitions set cursor = 17 where id = 3")
    report = certified(capfd, Exit.DIVERGENCE, "--restored-to", "9")
    assert "the cursor of partition 3 is at 17, and its witness names another" in report["faults"][0]["what"]


def test_a_certificate_of_another_history_does_not_hold(
    log: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "certificate"
    assert main(["audit", "certificate", "--out", str(file)]) == Exit.OK
    last = sql(log, "select max(last_position) from commits")
    sql(log, f"update events set body = '{{}}' where position = {last}")
    sql(log, f"delete from commits where last_position = {last}")
    sql(log, f"select seal({last}, {last}, null)")
    capfd.readouterr()
    assert main(["audit", "certificate", "--check", str(file)]) == Exit.DIVERGENCE
    assert f"position {last}: the log here has another root than the certificate says" in capfd.readouterr().err
    # Where there is no log, the signature alone is looked at, and nothing is started.
    monkeypatch.setenv("TROUPE_POSTGRES_URL", "")
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "elsewhere"))
    assert main(["audit", "certificate", "--check", str(file)]) == Exit.OK
    assert "there is no log here that it could be compared with" in capfd.readouterr().err
    assert not (tmp_path / "elsewhere" / "postgres" / "data").exists()


@pytest_asyncio.fixture(loop_scope="session")
async def anchored(log: str, servers: Servers, state: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = servers.nats_url.replace("nats://", f"nats://{servers.nats_token}@")
    monkeypatch.setenv("TROUPE_NATS_URL", url)
    signer = signer_of(StateFolder.open(state).path)
    async with NatsBus.open(servers.nats_url, servers.nats_token) as bus, PostgresStore.open(log) as store:
        await Notary(store, AnchorStream(lambda: bus.client, "troupe"), signer, utc_now).anchor()
        yield
        await bus.client.jetstream().delete_stream("ANCHORS")


def test_a_log_written_anew_fails_by_its_anchor(log: str, anchored: None, capfd: pytest.CaptureFixture[str]) -> None:
    assert certified(capfd, Exit.OK)["chain"]["anchors"] == 1
    last = sql(log, "select max(last_position) from commits")
    sql(log, f"delete from commits where last_position = {last}")
    sql(log, f"select seal({last}, {last}, null)")  # At another time: another root.
    assert [part for part, _, _ in faults(capfd)] == ["anchors"]
