"""The watch over the event loop: it ends a process that stands still, and only that."""

import time
from threading import Event

import anyio
import pytest

from actors.runtime.turn import Loaded
from actors.runtime.watchdog import Watchdog
from actors.runtime.work import decide
from protocol.message import Event as Fact
from protocol.subjects import Address
from tests.kit.counting import COUNTER, Add, Count
from tests.kit.units import NOON
from tests.unit.test_turn import command

C1 = Address("demo", "counter", "c1")


class Ended:
    """What the watchdog said when it would have ended the process."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.heard = Event()

    def __call__(self, words: str) -> None:
        self.words.append(words)
        self.heard.set()


async def test_a_loop_that_stands_still_is_ended_once() -> None:
    ended = Ended()
    async with anyio.create_task_group() as group:
        group.start_soon(Watchdog(0.1, ended).run)
        await anyio.sleep(0.02)
        assert ended.heard.wait(10.0), "this is what stands still"
        group.cancel_scope.cancel()
    assert ended.words == ["nothing has moved for 0.1 s; no turn was under way: the traceback on stderr shows what was"]


async def test_a_loop_that_turns_is_left_alone() -> None:
    ended = Ended()
    with anyio.move_on_after(0.5):
        await Watchdog(0.3, ended).run()
    time.sleep(0.4)  # The watch is over: now it may stand still.
    assert ended.words == []


@pytest.mark.parametrize(("index", "said"), [(0, "deciding the command a (t)"), (1, "deciding the command b (t)")])
def test_it_knows_what_is_being_decided(index: int, said: str) -> None:
    watchdog = Watchdog()
    heard: list[str] = []

    def slow(_: Count, command: Add) -> tuple[Fact, ...]:
        if command.n == index:
            heard.append(watchdog.deciding())
        return COUNTER.decide(Count(), Add(1))

    kind = type(COUNTER)(
        "counter", COUNTER.commands, COUNTER.events, COUNTER.initial, slow, COUNTER.evolve, COUNTER.react
    )
    decide(kind, C1, Loaded(Count(), 0), [command(Add(0), "a"), command(Add(1), "b")], NOON, watchdog)
    assert heard == [f"the actor {C1} was {said}"]
    assert watchdog.deciding() == f"the actor {C1} was deciding its last command"
