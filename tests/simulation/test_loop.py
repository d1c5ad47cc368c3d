"""The loop of the simulation: virtual time, drawn order, frozen and killed owners, and nothing real."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import pytest

from actors.runtime.simulated.loop import OWNER, NotInSimulation, SimulatedTask, Stuck, VirtualLoop


def run(main: Callable[[VirtualLoop], Awaitable[Any]], seed: int = 0) -> Any:
    loop = VirtualLoop(Random(seed))
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


class Owner:
    """Somebody to whom tasks belong."""

    def __init__(self) -> None:
        self.frozen = False
        self.steps = 0
        self.tasks: list[SimulatedTask] = []

    def adopt(self, task: SimulatedTask) -> None:
        self.tasks.append(task)

    def step(self) -> None:
        self.steps += 1


def test_time_jumps_to_the_next_timer() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        seen: list[float] = []

        async def rest(seconds: float) -> None:
            await anyio.sleep(seconds)
            seen.append(anyio.current_time())

        async with anyio.create_task_group() as group:
            for seconds in (3600.0, 1.5, 86_400.0):
                group.start_soon(rest, seconds)
        with anyio.move_on_after(10.0):
            await anyio.sleep_forever()
        return [*seen, loop.time()]

    assert run(main) == [1.5, 3600.0, 86_400.0, 86_410.0]


def _order(seed: int) -> list[int]:
    async def main(_: VirtualLoop) -> list[int]:
        order: list[int] = []

        async def say(n: int) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
                order.append(n)

        async with anyio.create_task_group() as group:
            for n in range(6):
                group.start_soon(say, n)
        return order

    return run(main, seed)


def test_the_seed_draws_the_order_of_what_is_ready() -> None:
    assert [_order(seed) for seed in range(8)] == [_order(seed) for seed in range(8)]
    assert len({tuple(_order(seed)) for seed in range(8)}) > 4
    assert sorted(_order(1)) == sorted(list(range(6)) * 3)


def test_a_cancelled_scope_takes_its_tasks_down_in_the_same_order_every_time() -> None:
    """anyio keeps the tasks of a scope in a set, whose order is another in every run."""

    def ended(seed: int) -> list[int]:
        async def main(_: VirtualLoop) -> list[int]:
            order: list[int] = []

            async def rest(n: int) -> None:
                try:
                    with anyio.CancelScope():
                        await anyio.sleep_forever()
                finally:
                    order.append(n)

            async with anyio.create_task_group() as group:
                for n in range(20):
                    group.start_soon(rest, n)
                await anyio.sleep(1)
                group.cancel_scope.cancel()
            return order

        return run(main, seed)

    first = ended(7)
    kept = [object() for _ in range(10_000)]  # Tasks lie elsewhere in memory now.
    assert ended(7) == first
    assert sorted(first) == list(range(20))
    assert kept


def test_who_is_frozen_does_nothing_while_time_passes_and_then_goes_on() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []
        owner, context = Owner(), copy_context()
        context.run(OWNER.set, owner)

        async def count() -> None:
            async with anyio.create_task_group() as group:  # Its tasks belong to the same owner.
                for n in range(3):
                    group.start_soon(tick, n)

        async def tick(n: int) -> None:
            await anyio.sleep(n + 1.0)
            seen.append((f"tick {n}", loop.time()))

        task = loop.create_task(count(), context=context)
        await anyio.sleep(1.5)
        owner.frozen = True
        await anyio.sleep(8.5)
        seen.append(("thawed", loop.time()))
        owner.frozen = False
        loop.thaw(owner)
        await task
        assert len(owner.tasks) == 4
        assert owner.steps > 4
        return seen

    seen = run(main)
    assert seen[:2] == [("tick 0", 1.0), ("thawed", 10.0)]
    assert sorted(seen[2:]) == [("tick 1", 10.0), ("tick 2", 10.0)]


def test_nothing_real_is_to_be_had() -> None:
    async def thread(_: VirtualLoop) -> None:
        await anyio.to_thread.run_sync(lambda: None)

    async def executor(loop: VirtualLoop) -> None:
        await loop.run_in_executor(None, lambda: None)

    async def socket(loop: VirtualLoop) -> None:
        await loop.create_connection(asyncio.Protocol, "127.0.0.1", 1)

    with pytest.raises(NotInSimulation):
        run(executor)
    with pytest.raises(NotImplementedError):
        run(socket)
    with pytest.raises(Stuck, match="a thread or a socket"):
        run(thread)


def test_what_can_never_go_on_is_told() -> None:
    async def for_ever(_: VirtualLoop) -> None:
        await anyio.sleep_forever()

    async def in_circles(_: VirtualLoop) -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="no timer is set"):
        run(for_ever)
    with pytest.raises(Stuck, match="something goes round"):
        run(in_circles)


async def test_a_simulation_is_not_run_from_a_coroutine() -> None:
    loop = VirtualLoop(Random(0))
    with pytest.raises(RuntimeError, match="plain code"):
        loop.run_forever()
