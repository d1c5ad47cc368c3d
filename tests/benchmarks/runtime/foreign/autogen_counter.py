"""autogen-core over its gRPC host: requests to counting agents, so many at once. Run by a Python that has them.

Three processes, as its documentation has them: the host, a runtime with the agents, a runtime that asks. Nothing is
durable. `host` and `agent` serve until their input ends; `client` answers each line with how many requests there were.
"""
# pyright: basic, reportMissingImports=false

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from itertools import count

from autogen_core import AgentId, MessageContext, RoutedAgent, message_handler, try_get_known_serializers_for_type
from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntime, GrpcWorkerAgentRuntimeHost


@dataclass
class Add:
    n: int


@dataclass
class Added:
    total: int


class Counter(RoutedAgent):
    def __init__(self) -> None:
        super().__init__("counter")
        self.total = 0

    @message_handler
    async def add(self, message: Add, ctx: MessageContext) -> Added:
        self.total += message.n
        return Added(self.total)


async def line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def runtime(address: str) -> GrpcWorkerAgentRuntime:
    started = GrpcWorkerAgentRuntime(host_address=address)
    for message in (Add, Added):
        started.add_message_serializer(try_get_known_serializers_for_type(message))
    await started.start()
    return started


async def ask(asking: GrpcWorkerAgentRuntime, seconds: float, in_flight: int, agents: int) -> tuple[int, float]:
    turns, asked = count(), 0
    started = time.perf_counter()
    until = started + seconds

    async def slot() -> None:
        nonlocal asked
        while time.perf_counter() < until:
            await asking.send_message(Add(1), AgentId("counter", f"c{next(turns) % agents}"))
            asked += 1

    await asyncio.gather(*(slot() for _ in range(in_flight)))
    return asked, time.perf_counter() - started


async def main(role: str) -> None:
    settings = json.loads(await line())
    address = settings["address"]
    if role == "host":
        host = GrpcWorkerAgentRuntimeHost(address=address)
        host.start()
        say("ready")
        await line()
        await host.stop()
        return
    running = await runtime(address)
    if role == "agent":
        await Counter.register(running, "counter", Counter)
        say("ready")
        await line()
    else:
        agents, in_flight = settings["agents"], settings["in_flight"]
        await ask(running, 1.0, in_flight, agents)
        say("ready")
        while said := await line():
            asked, seconds = await ask(running, json.loads(said), in_flight, agents)
            say({"count": asked, "seconds": seconds})
    await running.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
