"""`troupe agent`, `task show`, `artifact`, `usage`: what they print of a real log, and what they say of nothing."""

import hashlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from actors.cli.exits import Exit
from actors.cli.main import main
from eventstore.postgres.store import PostgresStore
from protocol.role import RoleDelivered
from tests.kit.board_run import Happened, small_run
from tests.kit.views import append

CONTENT = b"# Report\n\nNothing \xe2\x80\xa6 \x00 is lost.\n"


@pytest_asyncio.fixture(loop_scope="session")
async def project(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncGenerator[str]:
    """A log with one run whose architect delivered CONTENT; the command line reads it. The project's name."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    async with PostgresStore.open(database) as store:
        await store.blobs.put("demo", CONTENT)
        await append(store, [delivering(happened, digest) for happened in small_run()])
    monkeypatch.setenv("TROUPE_POSTGRES_URL", database)
    monkeypatch.setenv("TROUPE_PROJECT", "demo")
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    yield "demo"


def delivering(happened: Happened, digest: str) -> Happened:
    """The architect's first file has the bytes that are in the store; all others have bytes that are not."""
    event = happened.event
    if not (happened.address.kind == "architect" and isinstance(event, RoleDelivered)):
        return happened
    first, *rest = event.files
    files = (msgspec.structs.replace(first, blob=digest, size_bytes=len(CONTENT)), *rest)
    return Happened(
        happened.address, msgspec.structs.replace(event, files=files), happened.correlation, happened.second
    )


def answer(capfd: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == Exit.OK
    return json.loads(capfd.readouterr().out)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    said = capfd.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    return code, said.err


def test_an_agent(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    detail = answer(capfd, "agent", "show", "tester-1")
    assert (detail["agent"]["agent"], detail["agent"]["failed"]) == ("tester-1", 1)
    assert [(row["task"], row["role"], row["status"]) for row in detail["engagements"]] == [("t1", "tester", "failed")]
    assert main(["agent", "show", "tester-1"]) == Exit.OK
    text = capfd.readouterr().out
    assert "tester-1" in text
    assert "small-1" in text
    code, said = refused(capfd, "agent", "show", "nobody-1")
    assert (code, "no agent nobody-1 in the project demo" in said) == (Exit.NOT_FOUND, True)


def test_the_agents_with_their_figures(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    rows = {row["agent"]: row for row in answer(capfd, "agent", "list")}
    tester = rows["tester-1"]
    assert (tester["queue_depth"], tester["errors"], tester["completions"], tester["tokens_in"]) == (0, 2, 1, 900)
    assert (tester["parked"], tester["priced"], tester["cost_micros"]) == (0, 1, 2_700)
    assert 0.99 < tester["uptime"] <= 1.0
    assert main(["agent", "list"]) == Exit.OK
    head, *lines = capfd.readouterr().out.splitlines()
    assert {"Queue", "Errors", "USD", "Uptime"} <= set(head.split())
    assert any("tester-1" in line and "0.0027" in line and "100.0%" in line for line in lines)
    assert main(["agent", "show", "tester-1"]) == Exit.OK
    said = dict(line.split(maxsplit=1) for line in capfd.readouterr().out.partition("\n\n")[0].splitlines())
    assert (said["USD"], said["Uptime"]) == ("0.0027", "100.00%")
    assert said["Tokens"] == "900 in, 90 out, 1 completions"
    assert said["Average"].startswith(f"{tester['average_seconds']:.1f} s")


def test_the_history_of_a_task(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    lines = answer(capfd, "task", "show", "t1", "--history")
    assert [lines[0]["happened"], lines[-1]["happened"]] == ["submitted", "concluded"]
    assert lines[1] | {"role": "orchestrator", "agent": "orchestrator-1", "happened": "working"} == lines[1]
    page = answer(capfd, "task", "show", "t1", "--history", "--after", str(lines[2]["position"]), "--limit", "5")
    assert page == lines[3:8]
    assert main(["task", "show", "t1", "--history", "--limit", "4"]) == Exit.OK
    told = capfd.readouterr().out.splitlines()
    assert [line.split()[3:5] for line in told[1:]][-1] == ["tool", "returned"]
    assert len(told) == 5
    assert refused(capfd, "task", "show", "t9", "--history")[0] == Exit.NOT_FOUND
    assert refused(capfd, "task", "show", "t1", "--history", "--limit", "0")[0] == Exit.USAGE
    assert refused(capfd, "task", "show", "t1", "--history", "--after", "-1")[0] == Exit.USAGE


def test_a_task_says_whom_a_role_waits_for(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    roles = {row["role"]: row for row in answer(capfd, "task", "show", "t1")["roles"]}
    assert (roles["tester"]["needs"], roles["tester"]["blocked_by"], roles["architect"]["blocks"]) == (
        ["architect"], [], [],
    )  # fmt: skip
    assert main(["task", "show", "t1"]) == Exit.OK
    assert "Waits for" in capfd.readouterr().out


def test_artifacts(project: str, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    assert main(["artifact", "list", "--role", "architect", "--json"]) == Exit.OK
    rows = json.loads(capfdbinary.readouterr().out)
    assert [(row["task"], row["path"]) for row in rows] == [("t1", "report.md"), ("t1", "modules.mmd")]
    assert main(["artifact", "list"]) == Exit.OK
    assert b"architect/report.md" in capfdbinary.readouterr().out

    assert main(["artifact", "get", "t1", "architect/report.md"]) == Exit.OK
    assert capfdbinary.readouterr().out == CONTENT
    target = tmp_path / "copy.md"
    assert main(["artifact", "get", "t1", "architect/report.md", "-o", str(target)]) == Exit.OK
    assert (target.read_bytes(), capfdbinary.readouterr().out) == (CONTENT, b"")


def test_artifacts_that_cannot_be_had(project: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = refused(capfd, "artifact", "get", "t1", "tester/report.md")
    assert (code, "troupe artifact list --task t1" in said) == (Exit.NOT_FOUND, True)
    code, said = refused(capfd, "artifact", "get", "t1", "report.md")
    assert (code, "role and path" in said) == (Exit.USAGE, True)
    code, said = refused(capfd, "artifact", "get", "t1", "architect/modules.mmd")
    assert (code, "not in the store" in said) == (Exit.DIVERGENCE, True)
    there = tmp_path / "there"
    there.write_text("mine")
    code, _ = refused(capfd, "artifact", "get", "t1", "architect/report.md", "-o", str(there))
    assert (code, there.read_text()) == (Exit.USAGE, "mine")
    code, _ = refused(capfd, "artifact", "get", "t1", "architect/report.md", "-o", str(tmp_path / "no/such/folder"))
    assert code == Exit.FAILURE
    assert refused(capfd, "artifact", "list", "--limit", "0")[0] == Exit.USAGE


def test_usage(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    rows = answer(capfd, "usage", "--by", "model,role")
    assert [(row["role"], row["model"], row["requests"], row["errors"]) for row in rows] == [
        ("presenter", "small-1", 2, 0), ("tester", "", 0, 1), ("tester", "small-1", 1, 0),
    ]  # fmt: skip
    assert {row["day"] for row in rows} == {None}
    assert main(["usage", "--by", "role"]) == Exit.OK
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["Role", "Requests", "Failed", "Tokens", "in", "Tokens", "out", "USD"]
    # Of the presenter's two requests one has no known price.
    assert lines[1].split() == ["presenter", "2", "0", "250", "25", "0.0004", "+", "?"]
    assert lines[-1].split()[:5] == ["all", "3", "1", "1150", "115"]
    assert answer(capfd, "usage", "--since", "2026-02-01") == []
    assert refused(capfd, "usage", "--by", "weather")[0] == Exit.USAGE
    assert refused(capfd, "usage", "--since", "yesterday")[0] == Exit.USAGE


def test_usage_of_each_model(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    unknown, small = answer(capfd, "usage", "--models")
    assert (unknown["provider"], unknown["failures"], unknown["success_rate"], unknown["latency_s"]) == ("", 1, 0, None)
    assert (small["model"], small["completions"], small["deliveries"], small["delivered"]) == ("small-1", 3, 1, 0)
    assert main(["usage", "--models"]) == Exit.OK
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert lines[0][:5] == ["Provider", "Model", "Completions", "Failed", "Success"]
    assert lines[1] == ["-", "-", "0", "1", "0%", "0", "0", "-", "-", "-", "-", "0/0"]
    assert lines[2] == [
        "openai", "small-1", "3", "0", "100%", "1150", "115", "0.0032", "+", "?", "3.83", "9.00", "0%", "0/1",
    ]  # fmt: skip
    assert answer(capfd, "usage", "--models", "--since", "2026-02-01") == []
    assert refused(capfd, "usage", "--models", "--events")[0] == Exit.USAGE


def test_event_counts(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    rows = answer(capfd, "usage", "--events")
    assert sum(row["events"] for row in rows) == len(small_run())
    assert main(["usage", "--events"]) == Exit.OK
    assert "tools.called.v1" in capfd.readouterr().out


def test_the_doctor_answers_in_json_and_changes_nothing(
    project: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = main(["doctor", "--json"])
    report = json.loads(capfd.readouterr().out)
    statuses = {check["check"]: check["status"] for check in report["checks"]}
    assert statuses["PostgreSQL server"] == "ok"
    failures = {check for check, status in statuses.items() if status == "failed"}
    assert failures <= {"Sandbox", "Disk"}  # These are the machine's own affair.
    assert (code, report["ok"]) == ((Exit.FAILURE, False) if failures else (Exit.OK, True))
    assert not (tmp_path / "state").exists()


def test_the_doctor_fails_where_something_fails(
    project: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("no folder")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor"]) == Exit.FAILURE
    lines = capfd.readouterr().out.splitlines()
    failures = [line.split()[1] for line in lines if line.startswith("FAILED")]
    assert {"State", "Git"} <= set(failures)
    assert sum("→" in line for line in lines) >= len(failures)
    assert lines[-1].endswith(f"{len(failures)} failed")
