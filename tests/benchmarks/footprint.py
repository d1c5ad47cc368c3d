"""What a company costs when nothing happens, and how soon it is there: `troupe dev` as its own process, on Linux.

- warm_start_s: from starting the process (its state folder exists, its servers do not run) to the first accepted
command.
- idle_cpu_percent: CPU time of the company's process over IDLE_S of silence, in percent of one core, servers not
counted.
- idle_rss_mb: resident memory of the same process at the end of it, in MB (10⁶ bytes).
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import anyio.abc

from actors.cli.client import Asker, NoReply, Unreachable
from actors.embedded.folder import StateFolder
from actors.embedded.servers import find_servers
from protocol.memory import Remember
from protocol.subjects import Address
from tests.benchmarks.report import figure

ROUNDS = 5
SETTLE_S = 8.0  # Cursors, leases and caches come to rest.
IDLE_S = 20.0
START_S_MAX = 60.0
POLL_S = 0.02
STOP_S_MAX = 30.0


async def measure() -> dict[str, Any]:
    warm: list[float] = []
    cpu: list[float] = []
    memory: list[float] = []
    with tempfile.TemporaryDirectory(prefix="troupe-bench-") as folder:
        state = Path(folder) / "state"
        async with _company(state):
            pass  # The first start makes the databases.
        for n in range(ROUNDS):
            async with _company(state, n) as (process, ready_s):
                warm.append(ready_s)
                await anyio.sleep(SETTLE_S)
                before = _cpu_s(process.pid)
                started = perf_counter()
                await anyio.sleep(IDLE_S)
                cpu.append(100 * (_cpu_s(process.pid) - before) / (perf_counter() - started))
                memory.append(_rss_bytes(process.pid) / 1e6)
    figures = {
        "warm_start_s": figure(warm, "s"),
        "idle_cpu_percent": figure(cpu, "% of one core"),
        "idle_rss_mb": figure(memory, "MB"),
    }
    return {"figures": figures, "ratios": {name: entry["value"] for name, entry in figures.items()}}


@asynccontextmanager
async def _company(state: Path, n: int = -1) -> AsyncGenerator[tuple[anyio.abc.Process, float]]:
    """`troupe dev` on the folder, with the seconds until it had accepted its first command."""
    started = perf_counter()
    command = [sys.executable, "-P", "-m", "actors.cli", "dev", "--state", str(state)]
    process = await anyio.open_process(
        command, stdout=subprocess.DEVNULL, stderr=None, env={**os.environ, "NO_COLOR": "1"}
    )
    try:
        with anyio.fail_after(START_S_MAX):
            await _first_command(state, n)
        yield process, perf_counter() - started
    finally:
        with anyio.CancelScope(shield=True):
            process.send_signal(signal.SIGINT)
            with anyio.fail_after(STOP_S_MAX):
                await process.wait()


async def _first_command(state: Path, n: int) -> None:
    while True:
        if (state / "servers.json").exists():
            servers = await find_servers(StateFolder.open(state))
            if servers is not None:
                try:
                    async with Asker.open(servers.nats_url, servers.nats_token) as asker:
                        remember = Remember("bench", "tester", f"round-{n}", f"round {n}")
                        await asker.command(Address("default", "memory", "main"), remember, START_S_MAX)
                        return
                except (Unreachable, NoReply):
                    pass
        await anyio.sleep(POLL_S)


def _cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_bytes(pid: int) -> int:
    """Resident memory of a process (proc(5), second field of statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
