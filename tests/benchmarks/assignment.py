"""How long from a task's submission until an agent has it: `submit → role.assigned`, 50 tasks at once.

Each round starts a company of its own in a temporary folder and submits all tasks concurrently, each over the asker's
own
request. A task counts as assigned when a reader of the log sees the orchestrator's `role.assigned` committed. The tasks
name no repository, yet their work begins at once and competes for the cores: that is how a busy company is. The clock
starts before the command is published, in the same process that reads the log, so the figure includes the way in.
"""

from time import perf_counter
from typing import Any

import anyio

from actors.cli.client import Asker
from actors.host import Company, Settings, company
from protocol.memory import Remember
from protocol.subjects import Address
from protocol.task import SubmitTask
from tests.benchmarks.report import figure, percentile

CONCURRENT = 50
ROUNDS = 5
WAIT_S = 60.0


async def measure() -> dict[str, Any]:
    """Figures in milliseconds; the key of DESIGN among the ratios."""
    p50: list[float] = []
    p99: list[float] = []
    replied: list[float] = []
    for _ in range(ROUNDS):
        async with company(Settings(ephemeral=True, advisories_url="")) as running:
            assigned_ms, replied_ms = await _round(running)
        p50.append(percentile(assigned_ms, 0.50))
        p99.append(percentile(assigned_ms, 0.99))
        replied.append(percentile(replied_ms, 0.99))
    worst = figure(p99, "ms")
    return {
        "figures": {
            "assignment_p50_ms": figure(p50, "ms"),
            "assignment_p99_ms": worst,
            "accepted_p99_ms": figure(replied, "ms"),
            "concurrent_submissions": {"value": CONCURRENT, "unit": "tasks"},
        },
        "ratios": {"assignment_p99_ms": worst["value"]},
    }


async def _round(running: Company) -> tuple[list[float], list[float]]:
    """Milliseconds until each task was assigned, and until its submitter had the reply."""
    submitted: dict[str, float] = {}
    assigned_ms: dict[str, float] = {}
    replied_ms: list[float] = []

    async def submit(asker: Asker, task: str) -> None:
        submitted[task] = perf_counter()
        await asker.command(Address(running.settings.project, "task", task), SubmitTask(f"measure {task}"))
        replied_ms.append((perf_counter() - submitted[task]) * 1000)

    async def watch(after: int) -> None:
        while len(assigned_ms) < CONCURRENT:
            await running.store.wait_beyond(after, 1.0)
            for recorded in await running.store.read(after):
                after = recorded.position
                if recorded.type == "role.assigned.v1" and recorded.address.kind == "orchestrator":
                    assigned_ms[recorded.address.name] = (perf_counter() - submitted[recorded.address.name]) * 1000

    async with Asker.open(running.nats_url, running.nats_token) as asker:
        # One task first: connections, prepared statements and the consumer are there in any running company.
        await asker.command(Address(running.settings.project, "memory", "main"), _warm_up())
        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as group:
                group.start_soon(watch, await running.store.head())
                for n in range(CONCURRENT):
                    group.start_soon(submit, asker, f"bench-{n}")
    return list(assigned_ms.values()), replied_ms


def _warm_up() -> Remember:
    return Remember("bench", "tester", "warm-up", "warm")
