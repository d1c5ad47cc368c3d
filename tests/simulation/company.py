"""The whole company in a simulation: every role and service, the offline provider, and tools that only say they ran.

No process, no disk, no network. A task that was submitted is concluded, whatever happens meanwhile.
"""

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import anyio

from actors import casting
from actors.roles.playbook import Playbook, load_playbooks
from actors.runtime.kind import Kind, Performers
from actors.runtime.simulated import Outcome, Ports, Publisher, World, draw_faults, simulate
from actors.services.router import effects as router
from actors.services.router.offline import OfflineProvider
from actors.services.tools import effects as tools
from actors.services.tools.catalogue import CATALOGUE, ToolSpec
from protocol.message import tag_of
from protocol.subjects import Address
from protocol.task import SubmitTask, TaskConcluded
from protocol.tools import ProducedFile, ToolInput, ToolResult

PROJECT = "demo"
TOOL_S_MAX = 0.8
CONCLUDED_S_MAX = 600.0  # Virtual; without faults a task takes a few seconds.
SUBMITTED_S_MAX = 6.0


@cache
def playbooks() -> dict[str, Playbook]:
    return load_playbooks(tools=CATALOGUE.keys())


@cache
def kinds() -> dict[str, Kind[Any]]:
    return casting.kinds(playbooks())


def performers(ports: Ports) -> Performers:
    """The router on the offline provider, and tools that run nothing."""
    chance = Random(0)

    async def run(spec: ToolSpec, given: ToolInput) -> ToolResult:
        await anyio.sleep(chance.uniform(0.0, TOOL_S_MAX))
        produced = ProducedFile(f"{spec.name}.md", "text/markdown", f"# {spec.name} of {given.task}\n".encode())
        return ToolResult("ok", f"{spec.name} was said to run", {"builds_on": len(given.prior)}, files=(produced,))

    books = playbooks()
    tool_ports = tools.Ports(ports.store, CATALOGUE, Path("nowhere"), run, {})
    offered = casting.router_roles(books)
    router_ports = router.Ports(ports.store, OfflineProvider(casting.scripts(books)), offered)
    made = (tools.performer(tool_ports), router.performer(router_ports))
    return {performer.kind: performer for performer in made}


async def workload(world: World) -> None:
    """One or two tasks, each followed to its end."""
    chance = world.dice("tasks")
    async with anyio.create_task_group() as group:
        for n in range(chance.randint(1, 2)):
            group.start_soon(_task, world, world.publisher(f"customer{n}"), chance.uniform(0.0, SUBMITTED_S_MAX))


async def _task(world: World, customer: Publisher, after_s: float) -> None:
    await anyio.sleep(after_s)
    address = Address(PROJECT, "task", f"of-{customer.name}")
    await customer.insist(address, SubmitTask(f"Look at everything for {customer.name}"))
    with anyio.move_on_after(CONCLUDED_S_MAX):
        while not any(e.type == tag_of(TaskConcluded) for e in await world.store.read_stream(address)):
            await world.store.wait_beyond(await world.store.head(), CONCLUDED_S_MAX)
        return
    world.report(f"{address} was not concluded within {CONCLUDED_S_MAX:g} s")


def run(seed: int) -> Outcome:
    """One seed."""
    faults = draw_faults(Random(f"{seed}/company"))
    return simulate(kinds(), performers, seed=seed, workload=workload, faults=faults)
