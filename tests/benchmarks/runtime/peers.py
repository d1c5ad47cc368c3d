"""The peers, in an environment of their own that is made when it is first needed.

What they pin must not bind what Troupe uses, and nobody who only tests needs them. Their lock file carries hashes; the
environment lies in the user's cache folder, under the lock's own hash.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import asyncpg
import msgspec

from actors.embedded.ports import LOOPBACK, free_port
from tests.benchmarks.runtime.children import Child, script
from tests.benchmarks.runtime.company import Place

FOREIGN = Path(__file__).with_name("foreign")
LOCK = FOREIGN / "peers.lock"
DBOS_IN_FLIGHT = 16
AUTOGEN_IN_FLIGHT = 64
DATABASE = "dbos_bench"


class PeersMissing(Exception):
    """The peers cannot be installed here; the message says what to do."""


class Counted(msgspec.Struct):
    count: int
    seconds: float


async def environment() -> Path:
    """A Python that has the peers. PeersMissing."""
    return await anyio.to_thread.run_sync(_environment)


def _environment() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    mark = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache / "troupe-bench" / f"peers-{mark}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    sys.stderr.write(f"bench: installing the peers into {folder} (once; about 100 MB to download)\n")
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    if uv:
        steps = [
            [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(LOCK)],
        ]
    else:
        steps = [
            [sys.executable, "-I", "-m", "venv", str(folder)],
            [str(python), "-I", "-m", "pip", "install", "-qq", "--no-input", "--require-hashes", "-r", str(LOCK)],
        ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise PeersMissing(
                f"the peers cannot be installed ({' '.join(said) or f'exit code {done.returncode}'}): see that a "
                "package index can be reached and that this Python has wheels of theirs (3.11 to 3.13), or measure "
                "without them: bin/bench runtime --without-peers"
            )
    (folder / "complete").touch()
    return python


class Peer:
    """A peer that is ready to be measured."""

    def __init__(self, asked: Child) -> None:
        self._asked = asked

    async def measure(self, seconds: float) -> Counted:
        return await self._asked.ask(seconds, Counted)


@asynccontextmanager
async def dbos(place: Place, python: Path) -> AsyncGenerator[Peer]:
    """Durable steps in a database of their own on the same server."""
    connection: Any = await asyncpg.connect(place.postgres_dsn)
    await connection.execute(f"create database {DATABASE}")
    await connection.close()
    first = {"postgres_dsn": place.database(DATABASE), "in_flight": DBOS_IN_FLIGHT}
    async with _started(python, "dbos_steps.py", "", first) as running:
        yield Peer(running)


@asynccontextmanager
async def autogen(python: Path, agents: int) -> AsyncGenerator[Peer]:
    first = {"address": f"{LOOPBACK}:{free_port()}", "agents": agents, "in_flight": AUTOGEN_IN_FLIGHT}
    async with AsyncExitStack() as stack:
        for role in ("host", "agent"):
            await stack.enter_async_context(_started(python, "autogen_counter.py", role, first))
        yield Peer(await stack.enter_async_context(_started(python, "autogen_counter.py", "client", first)))


@asynccontextmanager
async def _started(python: Path, file: str, role: str, first: Any) -> AsyncGenerator[Child]:
    command = [str(python), "-P", str(FOREIGN / file), *([role] if role else [])]
    async with script(command, f"{file} {role}".strip(), {}) as running:
        await running.tell(first)
        await running.hear()
        yield running
