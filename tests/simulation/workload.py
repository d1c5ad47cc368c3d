"""What senders do to the three small kinds: some dozens of commands of every sort, for about as long as faults last."""

from random import Random

import anyio

from actors.runtime.simulated import Publisher, World
from tests.simulation.kinds import Add, Begin, Forget, Inquire, Serve, at

SENDERS = 4
COMMANDS_EACH_MIN, COMMANDS_EACH_MAX = 6, 14
REST_S_MAX = 3.5
TALLIES, RALLIES, DESKS = 4, 4, 3
SAFETIES = ("idempotent", "repeatable", "once")


async def workload(world: World) -> None:
    """Some senders, each for itself; done when all that was to be answered is."""
    async with anyio.create_task_group() as group:
        for n in range(SENDERS):
            group.start_soon(_send, world.publisher(f"p{n}"), world.dice(f"sender {n}"))


async def _send(publisher: Publisher, chance: Random) -> None:
    async with anyio.create_task_group() as waiting:
        for n in range(chance.randint(COMMANDS_EACH_MIN, COMMANDS_EACH_MAX)):
            await anyio.sleep(chance.choice((0.0, 0.0, chance.uniform(0.0, REST_S_MAX))))
            await _one(publisher, chance, n, waiting)


async def _one(publisher: Publisher, chance: Random, n: int, waiting: anyio.abc.TaskGroup) -> None:
    tally = at("tally", f"t{chance.randrange(TALLIES)}")
    match chance.randrange(11):
        case 0 | 1:
            await publisher.insist(tally, Add(chance.choice((1, 1, 2, 5, 0, -1))))
        case 2 | 3:
            # Several under way at once: their order is what matters.
            for _ in range(chance.randint(2, 4)):
                waiting.start_soon(publisher.insist, tally, Add(1))
                await anyio.sleep(0)
        case 4:
            await publisher.tell(tally, Add(chance.choice((1, 3))))
        case 5:
            waiting.start_soon(publisher.ask, tally, Add(1), chance.choice((2.0, 8.0, 20.0)))
        case 6 | 7:
            names = chance.sample(range(RALLIES), chance.randint(1, 2))
            serve = Serve(tuple(f"r{name}" for name in names), chance.randint(1, 3), chance.randint(0, 4))
            waiting.start_soon(publisher.insist, at("rally", f"r{chance.randrange(RALLIES)}"), serve)
        case 8:
            desk, inquire = at("desk", f"d{chance.randrange(DESKS)}"), Inquire(f"{publisher.name}-inquiry-{n}")
            if chance.random() < 0.7:
                waiting.start_soon(publisher.insist, desk, inquire)
            else:
                waiting.start_soon(publisher.ask, desk, inquire, chance.choice((0.3, 4.0)))
        case 9 | 10:
            await _job(publisher, chance, n, waiting)
        case _:
            pass


async def _job(publisher: Publisher, chance: Random, n: int, waiting: anyio.abc.TaskGroup) -> None:
    desk, job = at("desk", f"d{chance.randrange(DESKS)}"), f"{publisher.name}-job-{n}"
    remind_s = chance.choice((-1.0, 0.2, 3.0))
    begun = await publisher.insist(desk, Begin(job, chance.choice(SAFETIES), remind_s))
    match chance.randrange(4):
        case 0:
            await publisher.insist(desk, Forget(job))
        case 1:
            await publisher.again(begun)
        case 2:
            waiting.start_soon(publisher.insist, at("tally", f"t{chance.randrange(TALLIES)}"), Add(13))
        case _:
            pass
