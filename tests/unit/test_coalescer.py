"""Group commit: everybody gets their own answer, nobody another's fate, and nothing waits for ever."""

import random
from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from eventstore.coalescer import SHARE_MIN, Coalescer
from eventstore.errors import InvalidUnit, StoreUnavailable

WAIT_S = 20.0
SEEDS = range(30)


class Log:
    """A commit that records its batches and waits where a test says."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = anyio.Event()
        self.gate.set()
        self.fails: Exception | None = None
        self.running = self.running_max = 0

    async def commit(self, items: Sequence[int]) -> list[int]:
        for index, item in enumerate(items):
            if item < 0:
                raise InvalidUnit(f"{item} is negative", index)
        self.batches.append(list(items))
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            await self.gate.wait()
            await checkpoint()
        finally:
            self.running -= 1
        if self.fails is not None:
            raise self.fails
        return [item * 10 for item in items]


def coalescer(log: Log, commits_max: int = 1, items_max: int = 100, weight_max: int = 100) -> Coalescer[int, int]:
    return Coalescer(log.commit, lambda _: 1, commits_max, items_max, weight_max)


async def test_what_gathers_while_a_commit_runs_is_the_next_commit() -> None:
    log, answers = Log(), dict[int, int]()
    log.gate = anyio.Event()
    group_commit = coalescer(log)

    async def submit(item: int) -> None:
        answers[item] = await group_commit.submit(item)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for item in range(1, 3):
                group.start_soon(submit, item)
            await anyio.wait_all_tasks_blocked()
            assert log.batches == [[1, 2]]
            for item in range(3, 6):
                group.start_soon(submit, item)
            await anyio.wait_all_tasks_blocked()
            assert log.batches == [[1, 2]]
            log.gate.set()
    assert log.batches == [[1, 2], [3, 4, 5]]
    assert answers == {item: item * 10 for item in range(1, 6)}


async def test_those_who_are_answered_together_and_call_again_share_the_next_commit() -> None:
    log = Log()
    group_commit = coalescer(log, commits_max=2)

    async def submit(item: int) -> None:
        for n in range(3):
            await group_commit.submit(item + 100 * n)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for item in range(5):
                group.start_soon(submit, item)
    assert [sorted(batch) for batch in log.batches] == [[n * 100 + item for item in range(5)] for n in range(3)]


async def test_of_many_that_wait_the_first_leader_leaves_the_second_its_share() -> None:
    log = Log()
    log.gate = anyio.Event()
    many = 4 * SHARE_MIN
    group_commit = coalescer(log, commits_max=2, items_max=many, weight_max=many)
    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for item in range(many):
                group.start_soon(group_commit.submit, item)
            await anyio.wait_all_tasks_blocked()
            assert [len(batch) for batch in log.batches] == [many // 2, many // 2]
            log.gate.set()


async def test_a_leader_whose_item_did_not_fit_into_its_own_batch_keeps_no_one_from_leading() -> None:
    """It still waits itself, and must not be asked to lead a second time: that turn would be lost."""
    log = Log()
    group_commit = coalescer(log, commits_max=2, items_max=1)

    async def submit(item: int) -> None:
        for n in range(5):
            await group_commit.submit(item + 100 * n)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for item in range(8):
                group.start_soon(submit, item)
        log.gate = anyio.Event()
        async with anyio.create_task_group() as group:
            for item in (1, 2, 3):
                group.start_soon(group_commit.submit, item)
            await anyio.wait_all_tasks_blocked()
            assert log.running == 2
            log.gate.set()


async def test_batches_keep_their_bounds_and_one_heavy_item_goes_alone() -> None:
    log = Log()
    log.gate = anyio.Event()
    group_commit = Coalescer(log.commit, lambda item: item, 1, items_max=3, weight_max=10)
    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(group_commit.submit, 1)
            await anyio.wait_all_tasks_blocked()
            for item in (50, 4, 6, 2, 2, 2, 2):
                group.start_soon(group_commit.submit, item)
            await anyio.wait_all_tasks_blocked()
            log.gate.set()
    assert log.batches == [[1], [50], [4, 6], [2, 2, 2], [2]]


async def test_an_item_that_cannot_be_stored_hurts_no_other() -> None:
    log = Log()
    log.gate = anyio.Event()
    group_commit = coalescer(log)
    found: dict[int, object] = {}

    async def submit(item: int) -> None:
        try:
            found[item] = await group_commit.submit(item)
        except InvalidUnit as error:
            found[item] = str(error)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for item in (1, 2, -3, 4, -5):
                group.start_soon(submit, item)
            await anyio.wait_all_tasks_blocked()
            log.gate.set()
    assert found == {1: 10, 2: 20, -3: "-3 is negative", 4: 40, -5: "-5 is negative"}


async def test_a_failed_commit_fails_everyone_in_it_and_the_next_goes_on() -> None:
    log = Log()
    group_commit = coalescer(log)
    log.fails = StoreUnavailable("gone")
    failed = 0

    async def submit(item: int) -> None:
        nonlocal failed
        try:
            await group_commit.submit(item)
        except StoreUnavailable:
            failed += 1

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for item in range(5):
                group.start_soon(submit, item)
        log.fails = None
        assert failed == 5
        assert await group_commit.submit(7) == 70


async def test_a_cancelled_caller_takes_back_what_was_not_sent_and_leaves_the_rest_alone() -> None:
    log = Log()
    log.gate = anyio.Event()
    group_commit = coalescer(log)
    answers: list[int] = []

    async def submit(item: int) -> None:
        answers.append(await group_commit.submit(item))

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(submit, 1)
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as hasty:
                hasty.start_soon(submit, 2)
                await anyio.wait_all_tasks_blocked()
                hasty.cancel_scope.cancel()
            group.start_soon(submit, 3)
            await anyio.wait_all_tasks_blocked()
            log.gate.set()
    assert log.batches == [[1], [3]]
    assert answers == [10, 30]


@pytest.mark.parametrize("seed", SEEDS)
async def test_under_any_order_of_arrivals_and_cancellations_everyone_is_answered_once(seed: int) -> None:
    """Callers come and are cancelled at random moments: no answer is lost, none is another's, no one leads for ever."""
    rng = random.Random(seed)
    log = Log()
    group_commit = coalescer(log, commits_max=rng.choice([1, 2]), items_max=rng.choice([1, 3, 100]))
    answers: dict[int, int] = {}
    cancelled: set[int] = set()

    async def submit(item: int, patience: int) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def give_up() -> None:
                    for _ in range(patience):
                        await checkpoint()
                    scope.cancel()

                if patience:
                    group.start_soon(give_up)
                answers[item] = await group_commit.submit(item)
                group.cancel_scope.cancel()
        if scope.cancelled_caught:
            cancelled.add(item)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for item in range(60):
                group.start_soon(submit, item, rng.choice([0, 0, rng.randrange(1, 12)]))
                for _ in range(rng.randrange(3)):
                    await checkpoint()
        assert await group_commit.submit(1_000) == 10_000
    sent = [item for batch in log.batches for item in batch]
    assert len(sent) == len(set(sent))
    assert all(answers[item] == item * 10 for item in answers)
    assert set(range(60)) == set(answers) | cancelled
    assert log.running_max <= 2
