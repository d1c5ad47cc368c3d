"""What only the in-memory store can show: its clock is the test's, so that times to live end on the dot."""

from datetime import timedelta
from uuid import uuid4

from eventstore.memory.store import MemoryStore
from tests.kit.units import NOON, Owner, actor, effect, send, timer, unit


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self):
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


async def test_leases_claims_delays_and_timers_follow_the_injected_clock() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    one, two = uuid4(), uuid4()
    await store.acquire([5], one, 5, takeover=False)
    clock.advance(5)
    assert await store.acquire([5], two, 5, takeover=False) == []
    clock.advance(0.001)
    assert [lease.epoch for lease in await store.acquire([5], two, 5, takeover=False)] == [2]

    owner = await Owner.of(store)
    wanted = unit(
        "a1",
        timers=(timer("tick", clock.now + timedelta(seconds=10)),),
        effects=(effect("task/a1@1.0"),),
        sends=(send("s1", actor("b1")),),
    )
    await owner.commit(wanted)
    assert await store.next_timer_s() == 10
    (held,) = await store.claim_effects(["tool"], one, 8, 10)
    clock.advance(8.5)
    assert await store.overdue_sends([0], 8, 10) == [actor("b1")]
    (held,) = await store.claim_effects(["tool"], two, 8, 10)
    assert await store.retry_effect(held, 2)
    assert await store.claim_effects(["tool"], one, 8, 10) == []
    assert await store.fire_timers(10) == []
    clock.advance(2)
    assert [c.attempt for c in await store.claim_effects(["tool"], one, 8, 10)] == [3]
    assert await store.fire_timers(10) == [actor("a1")]
