"""Runs tools as programs in the sandbox, and turns whatever they do into a ToolResult.

Promise: `run` never raises for what a program did, never outlives the tool's time limit by more than KILL_GRACE_S, and
leaves no process and no scratch folder behind, also when it is cancelled. When the company is killed the kernel ends
the program; the scratch folder is then removed before the next run in the same workspace.
"""

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from actors.services.tools.catalogue import ToolSpec
from actors.services.tools.sandbox import view
from actors.services.tools.sandbox.base import LAUNCH_FAILED, Policy, Sandbox
from actors.services.tools.sandbox.detect import detected, own
from actors.services.tools.sandbox.execute import OUTPUT_BYTES_MAX, Completed, execute
from protocol.tools import Status, ToolInput, ToolResult

STDERR_LINES_SHOWN = 3  # the last lines of a broken program's stderr, in its summary
STDERR_CHARS_SHOWN = 600
CPU_PER_SECOND = 2  # CPU seconds a process may burn for each second of the tool's time: it may have threads
NO_SANDBOX = "no sandbox: install bubblewrap or use a kernel with Landlock"


class ProgramRunner:
    """Runs programs. `sandbox` overrides detection, `program` the command line that a tool's name stands for."""

    def __init__(self, sandbox: Sandbox | None = None, program: Callable[[str], tuple[str, ...]] | None = None) -> None:
        self._sandbox = sandbox
        self._program = program or _program

    async def run(self, spec: ToolSpec, given: ToolInput) -> ToolResult:
        """Run the tool on `given`: the caller fills `repo` and `workspace`, this fills `source` and `scratch`.

        The result's data carry the kind of sandbox under "sandbox".
        """
        sandbox = self._sandbox or (await detected()).sandbox
        if spec.access == "host":
            return _result(sandbox, "could_not_run", f"{spec.name} runs in the company's process, not as a program")
        if spec.access == "run-foreign-code" and sandbox.kind == "none":
            return _result(sandbox, "could_not_run", NO_SANDBOX)
        workspace = Path(given.workspace)
        if not workspace.is_absolute():
            return _result(sandbox, "could_not_run", f"{spec.name} needs a workspace, got {given.workspace!r}")
        scratch = workspace / "scratch" / f"{os.getpid()}-{secrets.token_hex(4)}"
        try:
            await anyio.to_thread.run_sync(_prepare, spec, workspace, scratch)
            filled = msgspec.structs.replace(
                given, source=str(workspace / "source"), scratch=str(scratch), workspace=str(workspace)
            )
            done = await execute(
                sandbox,
                self._program(spec.name),
                _policy(spec, filled),
                stdin=msgspec.json.encode(filled),
                timeout_s=spec.timeout_s,
            )
        except OSError as error:
            return _result(sandbox, "could_not_run", f"the workspace cannot be used: {error}")
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_remove, scratch)
        return _judge(sandbox, spec, done)


def _program(name: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "actors.services.tools.programs", name)


def _policy(spec: ToolSpec, given: ToolInput) -> Policy:
    """What the tool's access stands for; see `catalogue.Access`."""
    readable: tuple[str, ...] = (given.workspace,)
    writable: tuple[str, ...] = (given.scratch,)
    if spec.access == "write-workspace":
        writable = (given.workspace,)
        # Links in a repository's own metadata (worktrees, alternates) lead to other folders that git needs.
        readable = _repository(given.repo) if given.repo else ()
    elif spec.access == "run-foreign-code":
        # Of the user's folder only what is installed there: foreign code sees neither its other files nor other tasks.
        readable = (given.source, *_installed(given.repo), *_node_paths())
    return Policy(
        readable,
        writable,
        cwd=given.scratch,
        cpu_s=int(spec.timeout_s * CPU_PER_SECOND) + 1,
        environment=_environment(given.scratch),
        foreign=spec.access == "run-foreign-code",
    )


def _environment(scratch: str) -> dict[str, str]:
    """Everything a program sees of the environment: nothing of the company's own."""
    folders = [os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin", *_node_paths(suffix="/bin")]
    return {
        "PATH": os.pathsep.join(dict.fromkeys(folders)),
        "PYTHONPATH": str(view.PACKAGE_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOME": scratch,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TROUPE_DEMO": "1",  # Should the repository be Troupe itself: no demo inside a demo.
    }


def _installed(repo: str) -> tuple[str, ...]:
    """What is installed in the repository's folder (.venv, node_modules), unless it leads elsewhere."""
    if not repo:
        return ()
    modules = Path(repo, "node_modules")
    inside = modules.is_dir() and modules.resolve().is_relative_to(Path(repo).resolve())
    return (*((str(modules),) if inside else ()), *view.environment_paths(f"{repo}/.venv"))


def _node_paths(suffix: str = "") -> tuple[str, ...]:
    """Where Node is if not among the system's files (version managers keep it in the home folder)."""
    node = shutil.which("node")
    prefix = Path(node).resolve().parent.parent if node else None
    # A shim of a version manager resolves to itself; only a folder that holds npm is an installation.
    if prefix is None or not (prefix / "lib/node_modules/npm").is_dir():
        return ()
    return (f"{prefix}{suffix}",)


def _repository(repo: str) -> tuple[str, ...]:
    """The working files around `repo`, and what its metadata point to elsewhere and git itself would use."""
    start = Path(repo).absolute()
    top = next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), start)
    found = [str(start), str(top)]
    metadata = top / ".git" if (top / ".git").exists() else start
    if metadata.is_file():
        metadata = top / _first_line(metadata).removeprefix("gitdir:").strip()
    for part in ("", _first_line(metadata / "commondir")):
        folder = (metadata / part).resolve()
        if (folder / "HEAD").is_file():
            found.append(str(folder))
        for store in _lines(folder / "objects/info/alternates"):
            objects = (folder / "objects" / store).resolve()
            if (objects / "pack").is_dir():
                found.append(str(objects))
    return tuple(found)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _first_line(path: Path) -> str:
    return next(iter(_lines(path)), "")


def _prepare(spec: ToolSpec, workspace: Path, scratch: Path) -> None:
    """Make the workspace and the scratch folder in it; remove scratch folders whose company was killed."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    for left in scratch.parent.iterdir():
        if not _alive(left.name.partition("-")[0]):
            _remove(left)
    if spec.access == "write-workspace":
        own(workspace)
    scratch.mkdir(mode=0o700)
    own(scratch)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _remove(folder: Path) -> None:
    """Remove a folder that foreign code wrote, whatever modes it left; links are removed, never followed."""

    def open_up(function: Callable[..., Any], path: str, _error: Any) -> None:
        with contextlib.suppress(OSError):
            if Path(path) != folder:
                os.chmod(os.path.dirname(path), 0o700)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
            function(path)

    if not folder.exists():
        return
    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=open_up)
    else:
        shutil.rmtree(folder, onerror=open_up)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def _judge(sandbox: Sandbox, spec: ToolSpec, done: Completed) -> ToolResult:
    """The program's own result where it printed one; else what happened to it."""
    if done.ended == "timed_out":
        return _result(sandbox, "failed", f"{spec.name} was ended after {spec.timeout_s:g} s")
    if done.ended == "too_much_output":
        return _result(sandbox, "failed", f"{spec.name} printed more than {OUTPUT_BYTES_MAX >> 20} MiB and was ended")
    said = _last_lines(done.stderr)
    if done.ended == "not_started" or (done.code == LAUNCH_FAILED and not done.stdout):
        return _result(sandbox, "could_not_run", f"the sandbox could not start: {said}")
    if done.code != 0:
        how = f"ended by signal {done.code - 128}" if done.code > 128 else f"exit code {done.code}"
        return _result(sandbox, "failed", f"{spec.name} broke ({how}): {said}")
    try:
        result = msgspec.json.decode(done.stdout, type=ToolResult)
    except msgspec.MsgspecError as error:
        return _result(sandbox, "failed", f"{spec.name} printed no valid result: {error}")
    return msgspec.structs.replace(result, data={**result.data, "sandbox": sandbox.kind})


def _last_lines(stderr: str) -> str:
    return " · ".join(stderr.splitlines()[-STDERR_LINES_SHOWN:])[-STDERR_CHARS_SHOWN:] or "it said nothing"


def _result(sandbox: Sandbox, status: Status, summary: str) -> ToolResult:
    return ToolResult(status, summary, data={"sandbox": sandbox.kind})
