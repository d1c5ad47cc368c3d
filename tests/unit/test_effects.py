"""Effect workers on a store in memory: how attempts end, how they are cut, and what an actor hears of it."""

import math
from random import Random
from typing import Any

import anyio
import pytest

from actors.runtime import effects, running_call
from actors.runtime.endings import LOST_ATTEMPTS_MAX
from actors.runtime.follow import followed
from actors.runtime.kind import CancelEffect, Effect, EffectCall, Reaction
from actors.runtime.retry import OutcomeUnknown, Retry
from eventstore.effects import Answer
from eventstore.memory.store import MemoryStore
from protocol.message import Command
from tests.kit.counting import Add, Job, Report
from tests.kit.effect_room import PATIENCE_S, WORKER, Room, job_performer
from tests.kit.units import NOON

AT_ONCE = Retry(first_s=0.0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "SWEEP_EVERY_S", 0.05)


@pytest.fixture
async def room() -> Room:
    return await Room.open()


class Held:
    """A performer that runs until it is told to end; `stubborn` cuts are swallowed."""

    def __init__(self, stubborn: int = 0) -> None:
        self.begun, self.go_on, self.cut, self.over = (anyio.Event() for _ in range(4))
        self.attempts: list[int] = []
        self.stubborn = stubborn

    async def perform(self, call: EffectCall, work: Job) -> Command:
        self.attempts.append(call.attempt)
        self.begun.set()
        try:
            while not self.go_on.is_set():
                try:
                    await self.go_on.wait()
                except anyio.get_cancelled_exc_class():
                    self.cut.set()
                    self.stubborn -= 1
                    if self.stubborn < 0:
                        raise
            return Report(work.job, "done")
        finally:
            self.over.set()


async def within(event: anyio.Event) -> None:
    with anyio.fail_after(PATIENCE_S):
        await event.wait()


async def test_a_declared_policy_says_how_often_and_what_is_not_worth_another_attempt(room: Room) -> None:
    attempts: list[str] = []

    async def perform(_: EffectCall, work: Job) -> Command:
        attempts.append(work.job)
        raise (PermissionError if work.job == "refused" else ConnectionError)(work.job)

    async with room.works(job_performer(perform, retry=Retry(first_s=0.0, permanent=(PermissionError,)))):
        await room.want("refused")
        await room.want("broken")
        heard = await room.heard(2)
    assert heard == {"refused": "gave up: PermissionError: refused", "broken": "gave up: ConnectionError: broken"}
    assert (attempts.count("refused"), attempts.count("broken")) == (1, 3)
    assert room.count("effects_total", effect="job", outcome="retried") == 2
    assert room.count("effects_total", effect="job", outcome="given_up") == 2


NONSENSE: list[tuple[str, Any, str]] = [
    ("nothing", None, "a command, not with NoneType"),
    ("a text", "done", "a command, not with str"),
    ("another actor's", Add(1), "counter.add.v1 is no command of the kind worker"),
    ("too much", Report("too much", "x" * 600_000), "store big content as a blob"),
]


@pytest.mark.parametrize(("job", "said", "words"), NONSENSE, ids=[job for job, _, _ in NONSENSE])
async def test_nonsense_is_a_failed_attempt_and_its_actor_is_told(room: Room, job: str, said: Any, words: str) -> None:
    async def perform(_: EffectCall, __: Job) -> Any:
        return said

    async with room.works(job_performer(perform, retry=AT_ONCE)):
        await room.want(job)
        heard = await room.heard()
    assert heard[job].startswith("gave up: ")
    assert words in heard[job]
    assert room.count("effects_nonsense_total", effect="job") == 3


async def test_a_call_that_swallows_its_cut_is_cut_again_and_comes_to_the_same(room: Room) -> None:
    held = Held(stubborn=1)
    async with room.works(job_performer(held.perform, attempts_max=1, timeout_s=0.02)):
        await room.want("slow")
        assert (await room.heard())["slow"] == "gave up: TimeoutError: no end within 0.02 s"
        await within(held.over)
    assert room.count("effect_cuts_total", effect="job", outcome="timeout") == 1
    assert room.count("effect_cuts_total", effect="job", outcome="abandoned") == 0


async def test_a_call_that_cannot_be_ended_is_left_and_keeps_its_place(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_call, "CUT_GRACE_S", 0.02)
    held, release = Held(stubborn=1_000_000), anyio.Event()

    async def perform(call: EffectCall, work: Job) -> Command:
        if work.job == "next":
            return Report("next", "done")
        release.set()
        return await held.perform(call, work)

    async with room.works(job_performer(perform, attempts_max=1, timeout_s=0.02, concurrent_max=1)):
        await room.want("stuck")
        assert "TimeoutError" in (await room.heard())["stuck"], "its actor hears of it all the same"
        assert room.count("effect_cuts_total", effect="job", outcome="abandoned") == 1
        key = await room.want("next")
        await anyio.sleep(0.1)
        found = await room.store.effects.find("demo", key)
        assert found is not None
        assert found.attempts == 0, "there is no room for it"
        held.go_on.set()
        assert (await room.heard(2))["next"] == "done"


async def test_a_call_that_cancels_itself_is_a_failed_attempt(room: Room) -> None:
    async def perform(call: EffectCall, work: Job) -> Command:
        if call.attempt == 1:
            raise anyio.get_cancelled_exc_class()
        return Report(work.job, "done")

    async with room.works(job_performer(perform, retry=AT_ONCE)):
        await room.want("odd")
        assert await room.heard() == {"odd": "done"}


async def test_what_waits_is_withdrawn_and_never_begun_even_while_every_place_is_taken(room: Room) -> None:
    held = Held()
    async with room.works(job_performer(held.perform, concurrent_max=1)):
        await room.want("first")
        await within(held.begun)
        await room.want("second", name="copy")
        await room.cancel("copy")
        assert await room.heard() == {"second": "gave up: cancelled: it was withdrawn"}
        await room.want("third", name="copy")
        held.go_on.set()
        heard = await room.heard(3)
    assert (heard["first"], heard["third"]) == ("done", "done"), "the same name wanted later is another effect"
    assert held.attempts == [1, 1]


async def test_what_runs_is_cut_when_it_is_withdrawn_and_its_actor_hears_one_outcome(room: Room) -> None:
    held, stray = Held(), Held()

    async def perform(call: EffectCall, work: Job) -> Command:
        return await (stray if work.job == "stray" else held).perform(call, work)

    async with room.works(job_performer(perform)):
        await room.want("copying", name="copy")
        await room.want("stray", name="copying")
        await within(held.begun)
        await within(stray.begun)
        await room.cancel("copy")
        assert await room.heard() == {"copying": "gave up: cancelled: it was withdrawn"}
        await within(held.over)
        assert not stray.over.is_set()
        stray.go_on.set()
        assert len(await room.heard(2)) == 2
    assert await room.store.effects.listed() == []
    assert room.count("effects_total", effect="job", outcome="cancelled") == 1


async def test_a_deadline_ends_what_waits_and_what_runs_and_goes_with_what_was_in_time(room: Room) -> None:
    held = Held()

    async def perform(call: EffectCall, work: Job) -> Command:
        return Report("quick", "done") if work.job == "quick" else await held.perform(call, work)

    async with room.works(job_performer(perform, concurrent_max=2)):
        await room.want("runs", deadline_s=0.05)
        await room.want("holds", name="holds")
        await room.want("waits", deadline_s=0.05)
        words = "gave up: cancelled: not done within 0.05 s"
        assert await room.heard(2) == {"runs": words, "waits": words}
        await room.want("quick", deadline_s=3600.0)
        await room.heard(3)
        await room.cancel("holds")
        await room.heard(4)
    assert await room.store.claim_effects(["runtime-deadline"], room.owner.id, 60, 10) == [], "no deadline is left"


async def test_a_claim_that_was_lost_cuts_the_call_at_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker took the effect over, and said so: what the first one comes to counts for nothing."""
    monkeypatch.setattr(effects, "SWEEP_EVERY_S", 3600.0)
    held = Held()
    async with room.works(job_performer(held.perform)):
        await room.want("a")
        await within(held.begun)
        await room.store.release_claims([])
        (taken,) = await room.store.claim_effects(["job"], room.owner.id, 60.0, 1)
        await room.bus.ring_effects([effects.LOOK_BELL])
        await within(held.over)
        with anyio.fail_after(PATIENCE_S):
            while not room.count("effects_total", effect="job", outcome="claim_lost"):
                await anyio.sleep(0.005)
    assert room.count("effect_cuts_total", effect="job", outcome="claim_lost") == 1
    assert taken.attempt == 2
    assert await room.store.pending_sends([WORKER], 10) == []


async def test_what_a_stop_cuts_is_free_at_once(room: Room) -> None:
    held, next_one = Held(), Held()
    async with room.works(job_performer(held.perform)):
        key = await room.want("a")
        await within(held.begun)
    assert held.over.is_set()
    found = await room.store.effects.find("demo", key)
    assert found is not None
    assert (found.attempts, found.claimed) == (1, False)
    next_one.go_on.set()
    async with room.works(job_performer(next_one.perform)):
        assert await room.heard() == {"a": "done"}
    assert next_one.attempts == [2]


async def test_a_heartbeat_keeps_a_long_call_and_nothing_else(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "CLAIM_TTL_S", 0.15)
    monkeypatch.setattr(effects, "HEARTBEAT_EVERY_S", 0.03)
    held, thief = Held(), Held()
    async with room.works(job_performer(held.perform)), room.works(job_performer(thief.perform)):
        await room.want("long")
        busy = held if held.begun.is_set() else None
        with anyio.fail_after(PATIENCE_S):
            while busy is None:
                await anyio.sleep(0.005)
                busy = next((each for each in (held, thief) if each.begun.is_set()), None)
        await anyio.sleep(4 * effects.CLAIM_TTL_S)
        busy.go_on.set()
        assert await room.heard() == {"long": "done"}
    assert sorted(held.attempts + thief.attempts) == [1]


def not_known(_: EffectCall, work: Job) -> Command:
    return Report(work.job, "unknown")


def done(_: EffectCall, work: Job, words: str) -> Command:
    return Report(work.job, f"done: {words}")


@pytest.mark.parametrize(
    ("answer", "came_to"), [("done", "done: seen"), ("failed", "gave up: seen"), ("again", "done")]
)
async def test_what_may_happen_once_becomes_a_question_that_a_human_settles(
    room: Room, answer: Answer, came_to: str
) -> None:
    performed = 0

    async def perform(_: EffectCall, work: Job) -> Command:
        nonlocal performed
        performed += 1
        if performed == 1:
            raise OutcomeUnknown("the line went dead")
        return Report(work.job, "done")

    async with room.works(job_performer(perform, unknown=not_known, done=done)):
        key = await room.want("pay", "once", name="pay")
        assert await room.heard() == {"pay": "unknown"}
        await room.cancel("pay")
        (doubted,) = await room.store.effects.listed("demo", doubted=True)
        assert (doubted.key, doubted.note) == (key, "OutcomeUnknown: the line went dead")
        await anyio.sleep(0.15)
        assert performed == 1, "nobody tries it again, and no order ends the question"
        assert await room.store.effects.settle("demo", key, answer, "seen") == "job"
        assert [send.outcome_of for send in await room.sent(2)] == ["", key]
        assert await room.heard(2) == {"pay": came_to}
    assert performed == (2 if answer == "again" else 1)
    assert await room.store.effects.settle("demo", key, answer, "seen") is None
    assert await room.store.effects.listed() == []


async def test_what_may_happen_once_is_a_question_when_it_is_cut_and_not_when_it_fails(room: Room) -> None:
    held = Held()

    async def perform(call: EffectCall, work: Job) -> Command:
        if work.job == "fails":
            raise ValueError("refused")
        return await held.perform(call, work)

    async with room.works(job_performer(perform, timeout_s=0.05, concurrent_max=1)):
        await room.want("fails", "once")
        assert await room.heard() == {"fails": "gave up: ValueError: refused"}
        await room.want("slow", "once")
        waiting = await room.want("waits", "once", name="waits")
        await room.cancel("waits")
        assert (await room.heard(2))["waits"] == "gave up: cancelled: it was withdrawn"
        with anyio.fail_after(PATIENCE_S):
            while not (doubted := await room.store.effects.listed("demo", doubted=True)):
                await anyio.sleep(0.01)
    assert [found.note for found in doubted] == ["TimeoutError: no end within 0.05 s"]
    assert await room.store.effects.find("demo", waiting) is None


async def test_a_performer_without_words_leaves_a_question(room: Room) -> None:
    """It cannot even say that it failed: the effect must not vanish, nor be tried for ever."""

    async def perform(_: EffectCall, work: Job) -> Command:
        raise ValueError(work.job)

    def speechless(_: EffectCall, __: Job, ___: str) -> Command:
        raise KeyError("words")

    async with room.works(job_performer(perform, give_up=speechless, attempts_max=1)):
        key = await room.want("a")
        with anyio.fail_after(PATIENCE_S):
            while not await room.store.effects.listed("demo", doubted=True):
                await anyio.sleep(0.01)
    async with room.works(job_performer(perform, attempts_max=1)):
        await room.store.effects.settle("demo", key, "failed", "an operator says: mended")
        assert await room.heard() == {"a": "gave up: an operator says: mended"}


async def test_work_that_kills_its_workers_is_given_up_in_the_end(room: Room) -> None:
    await room.want("bomb")
    for _ in range(3 + LOST_ATTEMPTS_MAX):
        (taken,) = await room.store.claim_effects(["job"], room.owner.id, -1.0, 1)
        assert taken.key
    async with room.works(job_performer(Held().perform)):
        assert "ended without a word" in (await room.heard())["bomb"]


async def test_a_worker_takes_only_what_it_has_performers_for(room: Room) -> None:
    held = Held()
    key = await room.want("a")
    async with room.works():
        await room.cancel("no-such-name")
        with anyio.fail_after(PATIENCE_S):
            while "runtime-withdraw" in {row.effect_kind for row in await _everything(room)}:
                await anyio.sleep(0.01)
        found = await room.store.effects.find("demo", key)
        assert found is not None
        assert (found.attempts, found.claimed) == (0, False)
        async with room.works(job_performer(held.perform)):
            held.go_on.set()
            assert await room.heard() == {"a": "done"}


async def _everything(room: Room) -> list[Any]:
    """Also orders."""
    assert isinstance(room.store, MemoryStore)
    return [row.effect for row in room.store.blobs.effects.values()]


@pytest.mark.parametrize(
    "reaction",
    [
        Effect("job", Job("a"), "once", "no name"),
        Effect("job", Job("a"), "once", "x" * 200),
        Effect("job", Job("a"), "once", deadline_s=math.nan),
        CancelEffect(""),
        CancelEffect("a:b"),
    ],
)
def test_what_no_store_can_hold_breaks_the_turn_that_wants_it(reaction: Reaction) -> None:
    with pytest.raises(ValueError, match=r"effect name|NaN"):
        list(followed((reaction,), WORKER, 1, NOON, "run"))


def test_a_wait_grows_by_its_factor_to_its_bound_give_or_take_its_jitter() -> None:
    plain = Retry(first_s=1.0, factor=3.0, max_s=20.0, jitter=0.0)
    assert [plain.wait_s(n, Random(1)) for n in (1, 2, 3, 4, 10_000)] == [1.0, 3.0, 9.0, 20.0, 20.0]
    jittered = [Retry(first_s=1.0, jitter=0.2).wait_s(1, Random(seed)) for seed in range(50)]
    assert 0.8 <= min(jittered) < 0.9
    assert 1.1 < max(jittered) <= 1.2
    with pytest.raises(ValueError, match="makes no sense"):
        Retry(factor=0.5)
