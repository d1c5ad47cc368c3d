"""Programs: the servers of the wheels, git, Node. Each is run for its version; being there proves nothing."""

import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from actors.cli.checks.finding import Finding, failed, ok, warning
from actors.embedded.account import server_account
from actors.embedded.errors import EmbeddedError
from actors.embedded.programs import Programs, usable_programs

VERSION_S_MAX = 10.0
GIT_MIN = (2, 32)  # Older ones cannot be told to leave the user's own configuration alone (GIT_CONFIG_GLOBAL).
NODE_MIN = (18,)
_REPAIR = "install Troupe's requirements again (bin/troupe does; remove .venv first)"
_VERSION = re.compile(r"\d+(?:\.\d+)+")

Find = Callable[[], Awaitable[Programs]]


async def find_servers() -> Programs:
    """The servers' programs, as the account they run under can run them."""
    return await usable_programs(server_account())


async def servers(find: Find = find_servers) -> list[Finding]:
    """nats-server and PostgreSQL from their wheels, and what they say their versions are."""
    try:
        programs = await find()
    except EmbeddedError as error:
        return [failed("Server programs", str(error), _REPAIR)]
    return [await _server("nats-server", programs.nats_server), await _server("PostgreSQL", programs.postgres)]


async def _server(name: str, program: Path) -> Finding:
    said, problem = await version_of(str(program))
    if problem:
        return failed(name, f"{program}: {problem}", _REPAIR)
    return ok(name, said, str(program))


async def git(program: str | None = None) -> Finding:
    """Git, to clone what is reviewed."""
    found = program or shutil.which("git")
    if found is None:
        return failed("Git", "not found", "install git 2.32 or later")
    said, problem = await version_of(found)
    if problem:
        return failed("Git", f"{found}: {problem}", "install git 2.32 or later")
    if numbers(said) < GIT_MIN:
        return failed("Git", f"{said} ({found})", "install git 2.32 or later: an older one reads settings it must not")
    return ok("Git", said, found)


async def node(program: str | None = None) -> Finding:
    """Node, to run the tests of JavaScript repositories."""
    mend = "install Node 18 or later to have the tests of JavaScript repositories run"
    found = program or shutil.which("node")
    if found is None:
        return warning("Node", "not found", mend)
    said, problem = await version_of(found)
    if problem or numbers(said) < NODE_MIN:
        return warning("Node", f"{found}: {problem or said}", mend)
    return ok("Node", said, found)


async def version_of(program: str) -> tuple[str, str]:
    """What `program --version` says on its first line, and what went wrong ("": nothing)."""
    try:
        with anyio.fail_after(VERSION_S_MAX):
            done = await anyio.run_process([program, "--version"], check=False, stderr=subprocess.STDOUT)
    except TimeoutError:
        return "", f"no answer within {VERSION_S_MAX:g} s"
    except OSError as error:
        return "", error.strerror or str(error)
    lines = done.stdout.decode(errors="replace").strip().splitlines() or [""]
    if done.returncode:
        return "", f"exit code {done.returncode}: {lines[-1]}"
    return (lines[0], "") if _VERSION.search(lines[0]) else ("", f"it names no version: {lines[0]!r}")


def numbers(said: str) -> tuple[int, ...]:
    """The first version in a text, as numbers; () when there is none."""
    found = _VERSION.search(said)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
