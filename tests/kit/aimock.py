"""The npm mock `@copilotkit/aimock`: somebody else's idea of both wire formats, installed once and run for a test.

Development only. It is kept below the user's cache folder; where it cannot be installed, NoAimock says why.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.streams.text import TextReceiveStream

PACKAGE = "@copilotkit/aimock"
VERSION = "1.43.0"
NODE_VERSION_MIN = (20, 15)
INSTALL_S_MAX = 90.0
START_S_MAX = 20.0
KEY = "sk-mock-0123456789"
_LISTENS = "listening on "


class NoAimock(Exception):
    """It cannot be had here; the text says why."""


def install() -> Path:
    """The server's program, installed when it is not there yet. NoAimock when that is not possible."""
    _check_node()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "troupe-tests"
    program = Path("node_modules") / PACKAGE / "dist" / "cli.js"
    home = cache / f"aimock-{VERSION}"
    if not (home / program).is_file():
        _install_into(cache, home)
    return home / program


def _check_node() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NoAimock("node or npm is not installed")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    try:
        found = tuple(int(part) for part in said.lstrip("v").split(".")[:2])
    except ValueError:
        raise NoAimock(f"node does not tell its version, but {said!r}") from None
    if found < NODE_VERSION_MIN:
        raise NoAimock(f"node {said} is older than {'.'.join(map(str, NODE_VERSION_MIN))}")


def _install_into(cache: Path, home: Path) -> None:
    """Beside its place, then moved there in one step: a run that is killed leaves no half of it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as folder:
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder]
            command.append(f"{PACKAGE}@{VERSION}")
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False
            )
            if done.returncode:
                raise NoAimock(f"npm could not install {PACKAGE}@{VERSION}: {done.stderr.strip()[-300:]}")
            home.mkdir(exist_ok=True)
            (Path(folder) / "node_modules").rename(home / "node_modules")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAimock(f"npm could not install {PACKAGE}@{VERSION}: {error}") from error


@asynccontextmanager
async def aimock(program: Path, fixtures: Path) -> AsyncGenerator[str]:
    """The address of a server that answers by `fixtures`, in pieces of three characters, to KEY only."""
    command = ["node", str(program), "--port", "0", "--fixtures", str(fixtures), "--strict", "--chunk-size", "3"]
    environment = {"PATH": os.environ["PATH"], "AIMOCK_API_KEYS": KEY}
    process = await anyio.open_process(command, env=environment, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        said = ""
        with anyio.fail_after(START_S_MAX):
            async for text in TextReceiveStream(process.stdout):
                said += text
                if _LISTENS in said and "\n" in said.partition(_LISTENS)[2]:
                    break
            else:
                raise AssertionError(f"aimock ended before it listened: {said}")
        yield said.partition(_LISTENS)[2].split()[0]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.aclose()
