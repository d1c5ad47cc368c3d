"""Back-pressure: who is turned away, when that is told, and when the feed may go on."""

from collections.abc import Mapping
from uuid import uuid4

import anyio
import pytest
from anyio.lowlevel import checkpoint
from prometheus_client import CollectorRegistry

from actors.runtime import pressure as pressures
from actors.runtime.asks import Known
from actors.runtime.cursor import Cursors
from actors.runtime.mailboxes import Mailboxes, from_message
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.pressure import RETRY_AFTER_S, Pressure
from actors.runtime.turn import Pending
from eventstore.store import Lease, StoreUnavailable
from protocol.codec import encode
from protocol.reply import Reply
from protocol.subjects import Address, partition_of
from tests.kit.counting import KINDS, Add
from tests.kit.noting_bus import NotingBus
from tests.kit.units import NOON

C1, C2 = Address("demo", "counter", "c1"), Address("demo", "counter", "c2")
TURNED_AWAY = "troupe_commands_turned_away_total"


class Desk:
    """A process that may hold three commands for an actor and ten in all."""

    def __init__(self) -> None:
        owner = uuid4()
        self.partition = partition_of(C1)
        self.cursors = Cursors(Lease(p, 1, owner, 0, "") for p in {self.partition, partition_of(C2)})
        self.mailboxes, self.bus, self.registry = Mailboxes(), NotingBus(), CollectorRegistry()
        self.pressure = Pressure(self.mailboxes, self.cursors, self.bus, RuntimeMetrics(self.registry, KINDS))
        self.sequence, self.reading = 0, False
        self.known: Known = {}
        self.failures: list[Exception] = []

    def arrive(self, id_: str, to: Address = C1, told: bool = True) -> bool:
        """A message of the stream; whether it was turned away."""
        self.sequence += 1
        self.cursors.see(partition_of(to), self.sequence, f"w{self.sequence}")
        headers = {"Troupe-Reply-To": f"_INBOX.{id_}"} if told else {}
        generation = self.cursors.generation
        command = from_message(KINDS, to, id_, self.sequence, generation, headers, encode(Add()), NOON, NOON)
        if self.pressure.turns_away(command):
            return True
        if self.reading:
            return False
        self.mailboxes.put(command)
        self.pressure.arrived()
        return False

    def settle(self, commands: list[Pending]) -> None:
        """Their turn is over, and the store has it."""
        for pending in commands:
            partition = partition_of(pending.address)
            self.cursors.settle(partition, pending.sequence, pending.generation)
            self.cursors.committed(partition, self.cursors.preview(partition))

    async def tell(self) -> None:
        async def known(project: str, inboxes: Mapping[str, str]) -> Known:
            if self.failures:
                raise self.failures.pop()
            assert project == "demo"
            return {id_: self.known[id_] for id_ in inboxes if id_ in self.known}

        await self.pressure.tell(known)

    @property
    def told(self) -> list[str]:
        return [reply.id for _, reply in self.bus.replies]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(pressures, "ACTOR_COMMANDS_MAX", 3)
    monkeypatch.setattr(pressures, "OPEN_COMMANDS_MAX", 10)
    return Desk()


async def test_one_too_many_for_an_actor_is_told_so_once_no_process_can_read_it_again(desk: Desk) -> None:
    assert [desk.arrive(id_) for id_ in ("1", "2", "3", "4")] == [False, False, False, True]
    assert not desk.arrive("5", C2), "its neighbours do not notice"
    await desk.tell()
    assert desk.told == []
    first, *rest = desk.mailboxes.take(C1, 9)
    desk.settle([first])
    await desk.tell()
    assert desk.told == [], "after a crash it would be read again, and might be run"
    desk.settle(rest)
    await desk.tell()
    ((inbox, reply),) = desk.bus.replies
    assert inbox == "_INBOX.4"
    assert (reply.outcome, reply.code, reply.id, reply.actor) == ("refused", "busy", "4", str(C1))
    assert reply.retry_after_s == RETRY_AFTER_S
    assert "has 3 commands waiting" in reply.message
    assert desk.registry.get_sample_value(TURNED_AWAY, {"kind": "counter", "code": "busy"}) == 1
    assert not desk.arrive("4"), "the same id, sent again"
    assert desk.told == ["4"]


async def test_who_named_no_inbox_waits_in_its_turn(desk: Desk) -> None:
    assert [desk.arrive(str(n), told=False) for n in range(6)] == [False] * 6
    assert desk.mailboxes.count(C1) == 6


async def test_who_had_the_same_accepted_before_hears_of_that(desk: Desk) -> None:
    """Its answer was lost, or its ask is open still: it is not to believe that nothing happened."""
    for id_ in ("1", "2", "3", "again", "open", "new"):
        desk.arrive(id_)
    desk.known = {"again": encode(Reply("accepted", "again", str(C1), known=True)), "open": None}
    desk.settle(desk.mailboxes.take(C1, 9))
    desk.failures = [StoreUnavailable("gone for a while")]
    with pytest.raises(StoreUnavailable):
        await desk.tell()
    assert desk.told == []
    await desk.tell()
    assert [(reply.id, reply.outcome, reply.code) for _, reply in desk.bus.replies] == [
        ("again", "accepted", ""),
        ("new", "refused", "busy"),
    ]
    await desk.tell()
    assert len(desk.told) == 2
    assert not desk.pressure.crowded


async def test_what_one_read_brings_counts_before_it_is_in_a_mailbox(desk: Desk) -> None:
    desk.reading = True
    assert [desk.arrive(str(n)) for n in range(5)] == [False, False, False, True, True]


async def test_a_sender_that_goes_on_is_told_for_each(desk: Desk) -> None:
    for n in range(8):
        desk.arrive(str(n))
    desk.settle(desk.mailboxes.take(C1, 9))
    await desk.tell()
    assert desk.told == ["3", "4", "5", "6", "7"]


async def test_what_a_new_feed_brings_again_is_decided_on_anew(desk: Desk) -> None:
    for n in range(5):
        desk.arrive(str(n))
    desk.cursors.replay_from_store()
    desk.mailboxes.forget_external()
    desk.sequence = 0
    await desk.tell()
    assert desk.told == []
    assert [desk.arrive(str(n)) for n in range(5)] == [False, False, False, True, True]
    desk.settle(desk.mailboxes.take(C1, 9))
    await desk.tell()
    assert desk.told == ["3", "4"], "once each"


async def test_with_a_lost_partition_goes_what_was_turned_away(desk: Desk) -> None:
    for n in range(5):
        desk.arrive(str(n))
    desk.cursors.lose([desk.partition])
    desk.mailboxes.lose([desk.partition])
    desk.pressure.lose([desk.partition])
    await desk.tell()
    assert (desk.told, desk.pressure.crowded) == ([], False)


async def test_the_feed_rests_until_there_is_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressures, "LOOK_AGAIN_S", 60.0)
    with anyio.fail_after(5):
        await desk.pressure.room()
        for n in range(8):
            desk.arrive(str(n), told=False)
        assert desk.pressure.crowded
        order: list[str] = []

        async def read_on() -> None:
            await desk.pressure.room()
            order.append("reads on")

        async with anyio.create_task_group() as group:
            group.start_soon(read_on)
            await checkpoint()
            desk.pressure.ease()  # Nothing has changed.
            await checkpoint()
            desk.settle(desk.mailboxes.take(C1, 6))
            order.append("room")
            desk.pressure.ease()
        assert order == ["room", "reads on"]


async def test_big_commands_count_for_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressures, "WAITING_BYTES_MAX", 2 * len(encode(Add())))
    assert [desk.arrive(str(n), told=False) for n in range(2)] == [False, False]
    assert not desk.pressure.crowded
    desk.arrive("3")
    assert desk.pressure.crowded
    first, *rest = desk.mailboxes.take(C1, 9)
    assert not desk.pressure.crowded
    desk.mailboxes.give_back(C1, rest)
    desk.mailboxes.put(first)
    assert desk.pressure.crowded
    desk.mailboxes.forget_external()
    assert (desk.mailboxes.bytes, desk.pressure.crowded) == (0, False)


async def test_what_was_turned_away_counts_until_it_is_told(desk: Desk) -> None:
    for n in range(12):
        desk.arrive(str(n))
    taken = desk.mailboxes.take(C1, 9)
    assert (len(taken), desk.mailboxes.waiting, desk.pressure.crowded) == (3, 0, True)
    desk.settle(taken)
    await desk.tell()
    assert (len(desk.told), desk.pressure.crowded) == (9, False)
