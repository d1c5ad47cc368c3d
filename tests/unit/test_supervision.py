"""Services that fail: begun again, afresh, and not for ever. A process that stands still is noticed."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from actors.runtime import progress, supervision
from actors.runtime.mailboxes import Mailboxes, from_message
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.progress import Progress
from actors.runtime.supervision import Rate, ServiceFailed, Troubles, supervised
from eventstore.errors import StoreRefused, StoreUnavailable
from eventstore.memory.store import MemoryStore
from protocol.codec import encode
from protocol.subjects import Address
from tests.kit.counting import KINDS, Add
from tests.kit.units import NOON


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "RESTART_FIRST_S", 0.0)


def failing(times: int, error: Exception) -> tuple[Callable[[], Awaitable[None]], list[str]]:
    """A service that fails so often, and what happens to it."""
    happened: list[str] = []

    async def run() -> None:
        happened.append("begins")
        if happened.count("begins") <= times:
            raise error

    return run, happened


async def supervise(run: Callable[[], Awaitable[None]], metrics: RuntimeMetrics, afresh: Callable[[], None]) -> None:
    async with anyio.create_task_group() as group:
        supervised(group, "committer", run, metrics, afresh)


def restarts(metrics: RuntimeMetrics) -> float:
    return metrics.registry.get_sample_value("troupe_service_restarts_total", {"service": "committer"}) or 0


async def test_a_service_that_failed_begins_afresh() -> None:
    metrics = RuntimeMetrics()
    run, happened = failing(2, KeyError("x"))
    await supervise(run, metrics, lambda: happened.append("afresh"))
    assert happened == ["begins", "afresh", "begins", "afresh", "begins"]
    assert restarts(metrics) == 2


async def test_an_error_in_a_group_of_the_services_own_counts_as_one() -> None:
    run, happened = failing(1, ExceptionGroup("some", [ExceptionGroup("inner", [KeyError("x")])]))
    await supervise(run, RuntimeMetrics(), lambda: happened.append("afresh"))
    assert happened == ["begins", "afresh", "begins"]


async def test_a_service_that_fails_again_and_again_ends_the_process_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "RESTARTS_MAX", 2)
    metrics = RuntimeMetrics()
    run, happened = failing(99, KeyError("no\0such thing"))
    with pytest.RaisesGroup(pytest.RaisesExc(ServiceFailed, match="'committer' failed 3 times within 60 s")) as failed:
        await supervise(run, metrics, lambda: happened.append("afresh"))
    (error,) = failed.value.exceptions
    assert "KeyError: 'no" in str(error)
    assert "\0" not in str(error)
    assert happened.count("begins") == 3
    assert restarts(metrics) == 2


async def test_what_no_restart_can_mend_ends_it_at_once() -> None:
    run, happened = failing(99, ExceptionGroup("inner", [StoreRefused("a wrong password")]))
    with pytest.RaisesGroup(StoreRefused):
        await supervise(run, RuntimeMetrics(), lambda: happened.append("afresh"))
    assert happened == ["begins"]


async def test_a_cancelled_service_has_not_failed() -> None:
    metrics = RuntimeMetrics()
    with anyio.move_on_after(0.01):
        await supervise(anyio.sleep_forever, metrics, lambda: None)
    assert restarts(metrics) == 0


def test_only_what_happens_too_often_within_the_time_is_too_often() -> None:
    rate = Rate(2, 10.0)
    assert [rate.note(at) for at in (0.0, 5.0, 9.9)] == [False, False, True]
    assert [rate.note(at) for at in (20.0, 25.0)] == [False, False]
    assert rate.note(26.0)
    assert not rate.exceeded(31.0)


async def test_a_kind_whose_commands_break_too_often_is_reported_until_it_is_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervision, "BROKEN_MAX", 2)
    monkeypatch.setattr(supervision, "BROKEN_WITHIN_S", 0.05)
    metrics = RuntimeMetrics(kinds=KINDS)
    troubles = Troubles(metrics)

    def troubled(kind: str) -> float | None:
        return metrics.registry.get_sample_value("troupe_kind_troubled", {"kind": kind})

    for _ in range(3):
        troubles.note("counter")
    troubles.note("player")
    assert (troubled("counter"), troubled("player")) == (1, None)
    await anyio.sleep(0.06)
    troubles.look()
    assert troubled("counter") == 0


class Away(MemoryStore):
    async def head(self) -> int:
        raise StoreUnavailable("away")


class Counted:
    commits = 0


async def test_commands_that_wait_while_nothing_is_committed_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "STALLED_S", 0.0)
    metrics, mailboxes, counted = RuntimeMetrics(), Mailboxes(), Counted()
    watch = Progress(MemoryStore(), mailboxes, counted, metrics)

    async def looked(watch: Progress) -> tuple[str, float | None]:
        await watch.look()
        return watch.stalled, metrics.registry.get_sample_value("troupe_progress_stalled")

    assert await looked(watch) == ("", 0)
    to = Address("demo", "counter", "c1")
    mailboxes.put(from_message(KINDS, to, "a", 1, 0, {}, encode(Add()), NOON, NOON))
    words, stalled = await looked(watch)
    assert words.startswith("1 commands wait, and nothing was committed")
    assert stalled == 1
    assert (await looked(Progress(Away(), mailboxes, counted, metrics)))[0] == "", "the store is at fault, and says so"
    counted.commits += 1
    assert await looked(watch) == ("", 0)
