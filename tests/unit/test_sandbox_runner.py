"""The runner turns whatever a program does into a result, and leaves nothing behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from actors.services.tools import runner
from actors.services.tools.catalogue import CATALOGUE, ToolSpec
from actors.services.tools.runner import ProgramRunner
from actors.services.tools.sandbox import view
from actors.services.tools.sandbox.adapters import Unconfined
from actors.services.tools.sandbox.detect import detect, own
from actors.services.tools.sandbox.execute import OUTPUT_BYTES_MAX
from protocol.tools import ToolInput, ToolResult
from tests.kit.sandboxes import DAEMON, Pulse

SPEC = ToolSpec("some.tool", "A tool of this test.", "read", timeout_s=30)
PRINT = """
import msgspec, os, sys
from protocol.tools import *
def say(result):
    sys.stdout.write(msgspec.json.encode(result).decode())
"""


def program(code: str) -> Callable[[str], tuple[str, ...]]:
    """A program in place of the tool's own."""
    return lambda _name: (sys.executable, "-P", "-c", code)


def given(tmp_path: Path, repo: str = "") -> ToolInput:
    workspace = tmp_path / "workspace"
    return ToolInput("some.tool", "tools/t1@3", "t1", "Title", "2026-01-01T00:00:00Z", repo, workspace=str(workspace))


async def result_of(code: str, tmp_path: Path, spec: ToolSpec = SPEC) -> ToolResult:
    result = await ProgramRunner(program=program(code)).run(spec, given(tmp_path))
    assert list((tmp_path / "workspace/scratch").iterdir()) == []
    return result


async def test_a_result_comes_back_whole_and_labelled(tmp_path: Path) -> None:
    code = PRINT + (
        "say(ToolResult('ok', 'fine', {'n': 1}, (Finding('low', 'r', 'm', 'a.py', 3),),"
        " (ProducedFile('a.bin', 'application/octet-stream', bytes(range(256))),), {'list': [1]}))"
    )
    result = await result_of(code, tmp_path)
    assert result.summary == "fine"
    assert result.files[0].content == bytes(range(256))
    assert result.findings[0].line == 3
    assert result.data == {"list": [1], "sandbox": (await detect()).kind}


async def test_the_program_is_given_its_folders_and_a_clean_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROUPE_SECRET", "secret")
    code = PRINT + (
        "given = msgspec.json.decode(sys.stdin.buffer.read(), type=ToolInput)\n"
        "open(os.path.join(given.scratch, 'own'), 'w').close()\n"
        "say(ToolResult('ok', given.source, data={'env': dict(os.environ), 'scratch': given.scratch}))"
    )
    result = await result_of(code, tmp_path)
    assert result.summary == str(tmp_path / "workspace/source")
    environment = result.data["env"]
    assert "TROUPE_SECRET" not in environment
    assert environment["HOME"] == result.data["scratch"]
    assert environment["TROUPE_DEMO"] == "1"


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("import sys; sys.exit('broken here')", "failed", "exit code 1): broken here"),
        ("print('no json')", "failed", "no valid result"),
        ('print(\'{"status": "perfect", "summary": ""}\')', "failed", "no valid result"),
        ("", "failed", "no valid result"),
        ("import os; os.kill(os.getpid(), 9)", "failed", "ended by signal 9"),
        ("while True: print('x' * 100000)", "failed", "16 MiB"),
    ],
)
async def test_a_broken_program_is_a_failed_tool(code: str, status: str, says: str, tmp_path: Path) -> None:
    result = await result_of(code, tmp_path)
    assert result.status == status
    assert says in result.summary
    assert len(result.summary) < 1000


async def test_a_program_that_runs_too_long_is_ended(tmp_path: Path) -> None:
    spec = ToolSpec("some.tool", "", "read", timeout_s=0.5)
    result = await result_of("import signal\nwhile True: signal.pause()", tmp_path, spec)
    assert result.status == "failed"
    assert result.summary == "some.tool was ended after 0.5 s"


async def test_a_program_that_prints_without_end_is_ended(tmp_path: Path) -> None:
    result = await result_of("import os\nfor _ in range(1600): os.write(1, b'x' * 65536)", tmp_path)
    assert (result.status, result.facts) == ("failed", {})
    assert result.summary == f"some.tool printed more than {OUTPUT_BYTES_MAX >> 20} MiB and was ended"


async def test_cancelling_ends_the_program_and_cleans_up(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    own(workspace)
    pulse = Pulse(workspace / "pulse")
    code = DAEMON + f"daemon({str(pulse.path)!r})\nwhile True: signal.pause()"
    spec = ToolSpec("some.tool", "", "write-workspace", timeout_s=30)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ProgramRunner(program=program(code)).run, spec, given(tmp_path))
        assert await anyio.to_thread.run_sync(pulse.begun)
        tasks.cancel_scope.cancel()
    assert await anyio.to_thread.run_sync(pulse.ended)
    assert list((workspace / "scratch").iterdir()) == []
    pulse.close()


async def test_what_a_killed_company_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "workspace/scratch/999999999-abcd/closed"
    left.mkdir(parents=True)
    (left / "file").touch()
    left.chmod(0o500)
    (left / "out").symlink_to("/") if os.geteuid() == 0 else None
    await result_of("", tmp_path)
    assert not left.exists()


async def test_foreign_code_is_refused_without_a_sandbox(tmp_path: Path) -> None:
    spec = CATALOGUE["tests.run"]
    result = await ProgramRunner(Unconfined()).run(spec, given(tmp_path))
    assert result == ToolResult("could_not_run", runner.NO_SANDBOX, data={"sandbox": "none"})


async def test_programs_of_ours_run_without_a_sandbox_and_say_so(tmp_path: Path) -> None:
    code = PRINT + "say(ToolResult('ok', 'fine'))"
    result = await ProgramRunner(Unconfined(), program(code)).run(SPEC, given(tmp_path))
    assert result == ToolResult("ok", "fine", data={"sandbox": "none"})


async def test_only_writers_write_the_workspace(tmp_path: Path) -> None:
    if (await detect()).kind == "none":
        pytest.skip("no sandbox here")
    code = PRINT + (
        "given = msgspec.json.decode(sys.stdin.buffer.read(), type=ToolInput)\n"
        "try:\n    open(os.path.join(given.workspace, 'file'), 'w').close()\n    say(ToolResult('ok', 'written'))\n"
        "except OSError as error:\n    say(ToolResult('ok', type(error).__name__))"
    )
    assert (await result_of(code, tmp_path)).summary != "written"
    writer = ToolSpec("some.tool", "", "write-workspace", timeout_s=30)
    assert (await result_of(code, tmp_path, writer)).summary == "written"


async def test_a_workspace_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "workspace").write_text("a file")
    result = await ProgramRunner(program=program("")).run(SPEC, given(tmp_path))
    assert result.status == "could_not_run"
    assert "the workspace cannot be used" in result.summary


async def test_a_host_tool_is_no_program(tmp_path: Path) -> None:
    result = await ProgramRunner().run(CATALOGUE["run.health"], given(tmp_path))
    assert result.status == "could_not_run"


async def test_what_a_program_prints_does_not_reach_its_result(tmp_path: Path) -> None:
    noisy = """
import os, subprocess, sys, types
from protocol.tools import ToolResult
module = types.ModuleType("actors.services.tools.programs.noisy_tool")
def run(given):
    print("noise", flush=True)
    os.write(1, b"noise")
    subprocess.run(["/bin/sh", "-c", "echo noise"], check=True)
    return ToolResult("ok", given.title)
module.run = run
sys.modules[module.__name__] = module
from actors.services.tools.programs.__main__ import main
main("noisy.tool")
"""
    result = await result_of(noisy, tmp_path)
    assert (result.status, result.summary) == ("ok", "Title")


def test_a_program_is_named_like_a_tool() -> None:
    command = [sys.executable, "-P", "-m", "actors.services.tools.programs", "../evil"]
    environment = {"PYTHONPATH": str(view.PACKAGE_ROOT)}
    done = subprocess.run(command, input=msgspec.json.encode({}), env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"is not a tool's name" in done.stderr
