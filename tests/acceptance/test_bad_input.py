"""Bad input: a clear error or verdict, nothing lost, and the run or the company goes on. Where each is tested:

| bad input | test (in this file where no other is named) |
|---|---|
| no git repository | test_what_is_no_repository_is_said_and_nothing_runs, test_programs_workspace |
| a repository that is gone | test_a_task_on_a_repository_that_is_not_there_gets_a_verdict |
| no commits | test_a_repository_without_a_commit_gets_a_verdict |
| a huge or binary file | test_an_odd_repository_gets_its_review, test_programs_lint_fix.test_a_huge_file_… |
| names with spaces, quotes, newlines, no UTF-8 | test_an_odd_repository_gets_its_review, test_programs_… |
| a symlink out of the tree | test_an_odd_repository_gets_its_review, test_programs_workspace.test_links_… |
| a suite that never ends | test_programs_tests_run.test_partial_counts_survive_the_limit, test_sandbox_runner |
| a suite that forks away | test_an_odd_repository_gets_its_review, test_sandbox.test_daemons_… |
| a suite or tool that prints 100 MB | test_an_odd_repository_…, test_sandbox_runner.test_a_program_that_prints_… |
| malformed JSON, an unknown tag | test_nonsense_on_a_subject_is_refused, test_runtime.test_nonsense_…, test_codec |
| a 2 MB message | test_a_message_too_big_is_refused_wherever_it_is_met |
| a port in use | test_ports_taken_since_the_last_run_are_replaced, test_embedded, test_monitoring |
| a stale state folder | test_crashes.test_a_killed_company_…, test_embedded.test_a_stale_postmaster_file_… |
| a foreign state folder | test_a_foreign_state_folder_is_refused_and_untouched, test_state_folder |
| a full disk | test_a_full_disk_is_said_and_waited_for_and_nothing_is_lost, test_embedded_watch |
| nats-server or PostgreSQL killed | test_crashes.test_a_nats_server_that_died_…, …a_postgresql_…, test_runtime_faults |
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from actors.services.tools.sandbox.detect import detect
from protocol.codec import BODY_BYTES_MAX
from protocol.role import ROLES
from tests.kit import repositories
from tests.kit.command_line import Troupe
from tests.kit.finished_run import check_citations, check_report
from tests.kit.odd_repository import odd

TOO_BIG_FOR_NATS = 2_000_000
SMALL_DISK_MB = 160  # PostgreSQL's cluster takes a third of it.
NONSENSE = (b"", b"{", b"[]", b"null", b'{"type":7}', b"\xff\xfe\0", b"[" * 100_000, b'{"type":"task.submit.v1"}')
SUBMIT = '{"type":"task.submit.v1","title":"after it"}'


def check_goes_on(company: Troupe, task: str) -> None:
    """The company still takes and finishes work."""
    assert company.answer("pub", f"troupe.cmd.default.task.{task}", SUBMIT)["outcome"] == "accepted"


def check_one_line(done: "subprocess.CompletedProcess[str]", code: int, said: str) -> None:
    """An error for people: one line, no traceback, nothing on stdout."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


async def test_an_odd_repository_gets_its_review(company: Troupe, tmp_path: Path) -> None:
    if (await detect()).kind == "none":
        pytest.skip("no sandbox works on this machine: the repository's tests cannot run")
    repo = odd(tmp_path / "an odd 'repo'\n")
    before = repositories.tree_hash(repo)
    done = company.answer("demo", str(repo), "--report", str(tmp_path / "report"))
    assert repositories.tree_hash(repo) == before
    assert {role["status"] for role in done["roles"].values()} == {"completed"}
    assert done["verdict"] == "go-with-remarks"
    assert "tests-" not in done["summary"]
    assert "not-linted" not in done["summary"]
    check_report(done, tmp_path / "report")
    check_citations(done, company)
    # Nothing of what the links lead to: the first line of /etc/passwd is in no file of the report.
    secret = Path("/etc/passwd").read_bytes().splitlines()[0]
    assert not [path for path in (tmp_path / "report").rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_a_repository_without_a_commit_gets_a_verdict(company: Troupe, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path / "fresh"], check=True)
    done = company.answer("demo", str(tmp_path / "fresh"), "--report", str(tmp_path / "report"))
    assert (done["status"], done["verdict"]) == ("completed", "no-go")
    check_report(done, tmp_path / "report")
    check_citations(done, company)
    (called,) = [
        each
        for each in company.replay("--task", done["task"])
        if each["type"] == "tools.returned.v1" and "has no commits" in each["body"]["summary"]
    ]
    assert called["body"]["status"] == "could_not_run"


def test_a_task_on_a_repository_that_is_not_there_gets_a_verdict(company: Troupe, tmp_path: Path) -> None:
    gone = json.dumps({"type": "task.submit.v1", "title": "x", "repo": str(tmp_path / "gone")})
    with company.started("replay", "--follow", "--task", "gone") as replay:
        assert company.answer("pub", "troupe.cmd.default.task.gone", gone)["outcome"] == "accepted"
        replay.wait_for("task.concluded.v1", "stdout")
    assert company.answer("task", "show", "gone")["task"]["verdict"] == "no-go"


def test_what_is_no_repository_is_said_and_nothing_runs(company: Troupe, tmp_path: Path) -> None:
    tasks = company.answer("task", "list")
    (tmp_path / "plain").mkdir()
    check_one_line(company.run("demo", str(tmp_path / "plain")), 3, "is no git repository")
    (tmp_path / "file").write_text("")
    check_one_line(company.run("demo", str(tmp_path / "file")), 3, str(tmp_path / "file"))
    assert company.answer("task", "list") == tasks


async def test_nonsense_on_a_subject_is_refused(company: Troupe) -> None:
    subject = "troupe.cmd.default.task.nonsense"
    unknown = company.run("pub", subject, '{"type":"task.abandon.v9"}', "--json")
    assert (unknown.returncode, json.loads(unknown.stdout)["outcome"]) == (1, "refused")
    assert "unknown type 'task.abandon.v9'; known here: " in json.loads(unknown.stdout)["message"]
    nobody = company.run("pub", "troupe.cmd.default.nobody.n1", SUBMIT, "--json")
    assert json.loads(nobody.stdout)["outcome"] == "refused"
    assert await _just_send(company, *(_pub(subject, body) for body in NONSENSE)) == b"PONG"
    check_goes_on(company, "after-nonsense")
    check_one_line(company.run("task", "show", "nonsense"), 3, "there is no task nonsense")


async def test_a_message_too_big_is_refused_wherever_it_is_met(company: Troupe) -> None:
    subject, big = (
        "troupe.cmd.default.task.big",
        json.dumps({"type": "task.submit.v1", "title": "x" * TOO_BIG_FOR_NATS}),
    )
    for options in ((), ("--raw",)):
        refused = company.run("pub", *options, subject, "-", given=big)
        check_one_line(refused, 2, f"the message has {len(big)} bytes")
    # What NATS takes and the company does not, and what not even NATS takes from a client without manners.
    between = json.dumps({"type": "task.submit.v1", "title": "x" * (BODY_BYTES_MAX + 1)})
    assert company.run("pub", "--raw", subject, "-", given=between).returncode == 0
    # It is turned away at the first line, before any of its bytes.
    assert b"Maximum Payload" in await _just_send(company, f"PUB {subject} {len(big)}\r\n".encode())
    check_goes_on(company, "after-big")
    assert "big" not in {each["task"] for each in company.answer("task", "list")}


def _pub(subject: str, body: bytes) -> bytes:
    return f"PUB {subject} {len(body)}\r\n".encode() + body + b"\r\n"


async def _just_send(company: Troupe, *messages: bytes) -> bytes:
    """The last line of the server's to a client without manners: PONG, or why it hung up. Source: the NATS client
    protocol."""
    port = json.loads((company.state / "servers.json").read_text())["nats"]["port"]
    token = (company.state / "secrets/nats-token").read_text().strip()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        writer.write(f'CONNECT {{"auth_token":"{token}","verbose":false}}\r\n'.encode())
        writer.writelines([*messages, b"PING\r\n"])
        while heard != b"PONG" and (line := await reader.readline()):
            heard = line.strip()
    finally:
        writer.close()
    return heard


def test_a_foreign_state_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    repo = repositories.empty_one_commit(tmp_path / "repo")
    for command in (("demo", str(repo)), ("dev",), ("task", "list")):
        check_one_line(Troupe(folder).run(*command), 2, "not a state folder")
    assert [each.name for each in folder.iterdir()] == ["thesis.tex"]


def test_ports_taken_since_the_last_run_are_replaced(troupe: Troupe) -> None:
    with troupe.started("dev") as dev:
        dev.wait_for("Ready")
        dev.process.terminate()
        dev.finish()
    before = json.loads((troupe.state / "servers.json").read_text())
    with ExitStack() as stack:
        for record in before.values():
            stranger = stack.enter_context(socket.create_server(("127.0.0.1", record["port"])))
            assert stranger.getsockname()[1] == record["port"]
        with troupe.started("dev") as dev:
            dev.wait_for("Ready")
            check_goes_on(troupe, "elsewhere")
            dev.process.terminate()
            dev.finish()
        after = json.loads((troupe.state / "servers.json").read_text())
    assert {after[name]["port"] for name in after}.isdisjoint({before[name]["port"] for name in before})


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of SMALL_DISK_MB of its own; skipped where none can be mounted."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root on Linux can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "tmpfs", disk], capture_output=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 65_536):
            pass
    return filler


def test_a_full_disk_is_said_and_waited_for_and_nothing_is_lost(small_disk: Path, tmp_path: Path) -> None:
    troupe, repo = Troupe(small_disk / "state"), repositories.python_passing(tmp_path / "repo")
    filler = _fill(small_disk)
    check_one_line(troupe.run("demo", str(repo)), 2, "No space left")
    filler.unlink()

    with troupe.started("demo", str(repo), "--json") as demo:
        demo.wait_for("completed in")
        filler = _fill(small_disk)
        demo.wait_for("is full: free some space")
        assert demo.process.poll() is None
        filler.unlink()
        code, out, err = demo.finish()
    assert code == 0, err
    done = json.loads(out)
    assert done["status"] == "completed"
    assert {role["status"] for role in done["roles"].values()} == {"completed"}
    _check_once(troupe, done["task"])

    # Small messages may still fit into the last page of a file. What a newer peer adds to a message is passed over.
    bulky = json.dumps(json.loads(SUBMIT) | {"added": "x" * 100_000})
    with troupe.started("dev") as dev:
        dev.wait_for("Ready")
        filler = _fill(small_disk)
        unheard = troupe.run("pub", "troupe.cmd.default.task.unheard", "-", given=bulky)
        check_one_line(unheard, 4, "disk full")
        filler.unlink()
        # The broker, which gave its stream up, is started again by the company: within seconds it hears again.
        again = [troupe.run("pub", "troupe.cmd.default.task.unheard", "-", given=bulky) for _ in range(2)][-1]
        assert again.returncode == 0, again.stderr
        dev.process.terminate()
        assert dev.finish()[0] == 130
    assert [each["type"] for each in troupe.replay("--task", "unheard")].count("task.submitted.v1") == 1


def _check_once(troupe: Troupe, task: str) -> None:
    """The log is dense, and what happens once happened once."""
    events = troupe.replay()
    assert [each["position"] for each in events] == list(range(1, len(events) + 1))
    counts = Counter(each["type"] for each in events if each["correlation"] == task)
    assert (counts["task.submitted.v1"], counts["task.concluded.v1"], counts["role.delivered.v1"]) == (1, 1, len(ROLES))
    returned = Counter(each["body"]["call"] for each in events if each["type"] == "tools.returned.v1")
    assert returned.keys() == {each["event"] for each in events if each["type"] == "tools.called.v1"}
    assert set(returned.values()) == {1}
