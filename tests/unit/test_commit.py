"""The coalescer: what it does when the store says no, says nothing, or has said it before."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from actors.runtime.commit import Committer
from actors.runtime.cursor import Cursors
from actors.runtime.mailboxes import Mailboxes, from_message
from actors.runtime.ownership import WORKERS_BELL, Ownership
from actors.runtime.turn import Loaded
from eventstore.memory.store import MemoryStore
from eventstore.store import Batch, Fence, InboxRow, StoreUnavailable, Unit, Verdict
from eventstore.workers import Worker
from protocol.codec import encode
from protocol.message import Command
from protocol.subjects import PARTITIONS, Address, partition_of
from tests.kit.counting import KINDS, Add, Added, Begin, Serve
from tests.kit.noting_bus import NotingBus
from tests.kit.units import NOON, event, external

C1 = Address("demo", "counter", "c1")


class LosingStore(MemoryStore):
    """Its answers get lost: `lose` names the next calls of whose outcome nobody hears."""

    def __init__(self) -> None:
        super().__init__()
        self.lose: list[str] = []

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        verdicts = await super().commit(batch)
        self._lost("commit")
        return verdicts

    async def inbox(self, project: str, ids: object) -> dict[str, InboxRow]:
        self._lost("inbox")
        return await super().inbox(project, ids)  # pyright: ignore[reportArgumentType]

    def _lost(self, call: str) -> None:
        if self.lose and self.lose[0] == call:
            self.lose.pop(0)
            raise StoreUnavailable(f"{call}: the connection was lost")


class Desk:
    """A committer with everything around it, turned by hand."""

    def __init__(self) -> None:
        self.store, self.bus, self.mailboxes, self.id = LosingStore(), NotingBus(), Mailboxes(), uuid4()
        self.timers_changed = 0
        self.sequence = 0

    async def open(self) -> "Desk":
        self.ownership = Ownership(self.store, self.bus, Worker(self.id, alone=True))
        self.cursors = Cursors()
        self.ownership.watch(self.cursors.gain, self.cursors.lose)
        await self.ownership.join()
        self.cursors.replay_from_store()
        self.held = self.ownership.held
        self.committer = Committer(
            self.store,
            self.bus,
            KINDS,
            self.mailboxes,
            self.cursors,
            self.ownership,
            lambda: NOON,
            self._timers,
        )
        self.ownership.watch(lambda _: None, self.mailboxes.lose)
        self.ownership.watch(self.committer.gained, self.committer.lost)
        return self

    def _timers(self) -> None:
        self.timers_changed += 1

    def arrive(self, command: Command, id_: str, to: Address = C1) -> None:
        """A message of the stream, as the intake takes it in."""
        self.sequence += 1
        self.cursors.see(partition_of(to), self.sequence, f"w{self.sequence}")
        headers = {"Troupe-Reply-To": f"_INBOX.{id_}"}
        generation = self.cursors.generation
        self.mailboxes.put(
            from_message(KINDS, to, id_, self.sequence, generation, headers, encode(command), NOON, NOON)
        )

    async def turn(self) -> None:
        """Steps until nobody is ready."""
        for _ in range(20):
            if self.mailboxes.ready(1):
                await self.committer.step()
        assert not self.mailboxes.ready(1)

    async def cursor(self, to: Address = C1) -> tuple[int, str]:
        lease = (await self.store.acquire([partition_of(to)], uuid4(), 3600, takeover=True))[0]
        return lease.cursor, lease.witness

    def outcomes(self) -> dict[str, tuple[str, bool]]:
        return {reply.id: (reply.outcome, reply.known) for _, reply in self.bus.replies}


@pytest.fixture
async def desk() -> Desk:
    return await Desk().open()


async def test_a_commit_moves_the_cursor_and_only_then_answers(desk: Desk) -> None:
    desk.arrive(Add(1), "a")
    desk.arrive(Add(2), "b")
    await desk.turn()
    assert [(inbox, r.position) for inbox, r in desk.bus.replies] == [("_INBOX.a", 1), ("_INBOX.b", 2)]
    assert await desk.cursor() == (2, "w2")


async def test_an_answer_of_the_store_that_was_lost_is_found_by_sending_the_batch_again(desk: Desk) -> None:
    """Also what follows: the doorbells and the timekeeper would otherwise hear of it by chance."""
    p1, w1, w2 = (Address("demo", kind, name) for kind, name in (("player", "p1"), ("worker", "w1"), ("worker", "w2")))
    desk.arrive(Add(1), "a")
    desk.arrive(Serve("p2", 1), "b", p1)
    desk.arrive(Begin("x"), "c", w1)
    desk.arrive(Begin("x", 5.0), "d", w2)
    desk.store.lose = ["commit", "inbox", "inbox"]
    await desk.turn()
    assert desk.outcomes() == dict.fromkeys("abcd", ("accepted", True))
    assert await desk.store.head() == 4
    assert desk.bus.rung == [Address("demo", "player", "p2")]
    assert desk.bus.effects == [WORKERS_BELL, "job"]
    assert desk.timers_changed == 1
    await desk.committer.advance()
    assert {cursor for cursor, _ in [await desk.cursor(to) for to in (C1, p1, w1, w2)]} == {4}


async def test_a_unit_that_meets_a_newer_stream_is_decided_again_on_it(desk: Desk) -> None:
    desk.arrive(Add(1), "a")
    await desk.turn()
    partition = partition_of(C1)
    fence = Fence(partition, desk.held[partition].epoch, desk.id, 1, "w1")
    other = Unit(partition, C1, 1, (external("elsewhere"),), (event(type_="counter.added.v1", causation="elsewhere"),))
    assert [v.status for v in await desk.store.commit(Batch((fence,), (other,)))] == ["committed"]
    desk.arrive(Add(5), "b")
    await desk.turn()
    (last,) = (await desk.store.read_stream(C1))[2:]
    assert (last.version, last.body) == (3, encode(Added(5)))
    assert desk.outcomes()["b"] == ("accepted", False)
    assert desk.bus.replies[-1][1].events == ("counter/c1@3",)


async def test_a_fence_that_is_gone_costs_its_partition_and_the_others_are_told(desk: Desk) -> None:
    others = (Address("demo", "counter", f"d{n}") for n in range(PARTITIONS))
    mine = next(address for address in others if partition_of(address) != partition_of(C1))
    await desk.store.acquire([partition_of(C1)], uuid4(), 3600, takeover=True)
    desk.arrive(Add(1), "lost")
    desk.arrive(Add(1), "kept", mine)
    await desk.turn()
    assert desk.outcomes() == {"kept": ("accepted", False)}
    assert await desk.store.read_stream(C1) == []
    assert set(range(PARTITIONS)) - set(desk.held) == {partition_of(C1)}
    assert desk.mailboxes.waiting == 0


async def test_what_was_decided_on_a_lease_that_ended_meanwhile_is_not_committed(desk: Desk) -> None:
    """Lost, and gained again: another may have written in between."""
    desk.arrive(Add(1), "a")
    partition = partition_of(C1)
    load = vars(desk.committer)["_actors"].load

    async def slow_load(addresses: Sequence[Address]) -> None:
        await load(addresses)
        desk.ownership.lose([partition])
        await desk.store.release([partition], desk.id)
        await desk.ownership.join()

    vars(desk.committer)["_actors"].load = slow_load
    await desk.committer.step()
    assert partition in desk.held
    assert await desk.store.head() == 0
    assert desk.outcomes() == {}


async def test_what_was_loaded_behind_a_loss_is_not_known_when_the_partition_is_gained_again(desk: Desk) -> None:
    """A turn that was begun before the loss reads its actor after it; then another process writes."""
    desk.arrive(Add(1), "a")
    partition, actors = partition_of(C1), vars(desk.committer)["_actors"]
    load = actors.load

    async def late_load(addresses: Sequence[Address]) -> None:
        desk.ownership.lose([partition])
        await desk.store.release([partition], desk.id)
        await load(addresses)

    actors.load = late_load
    await desk.committer.step()
    actors.load = load
    assert desk.committer.actors.get(C1) is None
    actors.remember(C1, actors.get(C1) or Loaded(KINDS["counter"].initial(C1), 0))  # However it should come there:
    other = uuid4()
    (lease,) = await desk.store.acquire([partition], other, 3600, takeover=False)
    written = Unit(
        partition, C1, 0, (external("elsewhere"),), (event(type_="counter.added.v1", causation="elsewhere"),)
    )
    await desk.store.commit(Batch((Fence(partition, lease.epoch, other, 1, "w1"),), (written,)))
    await desk.store.release([partition], other)
    await desk.ownership.join()
    assert partition in desk.held
    assert desk.committer.actors.get(C1) is None


async def test_a_partition_is_vacated_with_its_cursor_where_it_can_stand(desk: Desk) -> None:
    desk.arrive(Add(1), "a")
    await desk.turn()
    bell = partition_of(C1)
    desk.cursors.see(bell, 7, "w7")
    desk.cursors.settle(bell, 7, desk.cursors.generation)
    await desk.committer.vacate(bell)
    assert await desk.cursor() == (7, "w7")
    desk.mailboxes.put(from_message(KINDS, C1, "b", 8, 0, {}, encode(Add(1)), NOON, NOON))
    assert desk.mailboxes.ready(9) == [], "nothing begins in it any more"


async def test_what_an_earlier_stream_settles_moves_no_cursor_of_this_one(desk: Desk) -> None:
    """Sequence 1 of the lost stream is settled while sequence 1 of the new one is another, open command."""
    desk.arrive(Add(1), "old")
    (taken,) = desk.mailboxes.take(C1, 1)
    desk.cursors.rewind(range(PARTITIONS))
    desk.cursors.see(partition_of(C1), 1, "new stream")
    desk.mailboxes.put(taken)
    await desk.turn()
    assert desk.outcomes() == {"old": ("accepted", False)}
    assert await desk.cursor() == (0, "")


async def test_of_commands_no_store_can_hold_only_the_guilty_one_is_set_aside(desk: Desk) -> None:
    desk.arrive(Add(1), "a")
    desk.arrive(Add(1), "b")
    desk.arrive(Add(1, "timer"), "bad")
    desk.arrive(Add(1), "c")
    desk.arrive(Add(1), "n", Address("demo", "counter", "neighbour"))
    await desk.turn()
    accepted = dict.fromkeys("abn", ("accepted", False))
    assert desk.outcomes() == accepted | {"bad": ("quarantined", False), "c": ("parked", False)}
    assert desk.bus.buried == [(C1, encode(Add(1, "timer")))]
    assert len(await desk.store.read_stream(C1)) == 2
    assert [row.command.id for row in await desk.store.dead.kept(C1)] == ["bad", "c"]
    assert await desk.cursor() == (5, "w5")


async def test_cursors_move_without_any_turn(desk: Desk) -> None:
    partition = partition_of(C1)
    desk.cursors.see(partition, 7, "w7")
    desk.cursors.settle(partition, 7, desk.cursors.generation)
    await desk.committer.advance()
    assert await desk.cursor() == (7, "w7")
    assert desk.cursors.behind() == {}
