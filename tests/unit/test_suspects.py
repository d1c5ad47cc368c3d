"""What a process does with commands that may have killed the one before it."""

from collections.abc import Sequence

import pytest

from actors.runtime.parking import WAITING_MAX
from actors.runtime.poison import Poison
from actors.runtime.suspects import ATTEMPTS_MAX
from eventstore.dead import Suspect
from eventstore.store import Batch, Lease, Verdict
from protocol.message import Command
from protocol.subjects import PARTITIONS, Address, partition_of
from tests.kit.counting import Add
from tests.unit.test_commit import Desk, LosingStore

C1, C2, C3 = (Address("demo", "counter", f"c{n}") for n in (1, 2, 3))
EVERY = range(PARTITIONS)


class WatchingStore(LosingStore):
    """Notes what each commit settles, and which attempts were counted by then."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[list[str]] = []
        self.counted: list[dict[str, int]] = []

    async def commit(self, batch: Batch) -> tuple[Verdict, ...]:
        if batch.units:
            self.commits.append([settled.id for unit in batch.units for settled in unit.settled])
            self.counted.append({s.id: count for s, count in (await self.dead.attempts(EVERY)).items()})
        return await super().commit(batch)


class Heir(Desk):
    """A desk that took over from a process that died, and found some commands waiting."""

    store: WatchingStore
    poison: Poison

    @classmethod
    async def of(cls, found: Sequence[tuple[Address, Command, str]], **counts: int) -> "Heir":
        desk = cls()
        desk.store = WatchingStore()
        await desk.open()
        desk.poison = desk.committer.poison
        for to, _, id_ in found:
            for _ in range(counts.get(id_, 0)):
                await desk.store.dead.attempt([Suspect(partition_of(to), "demo", id_, 0)])
        desk.bus.witnesses = {len(found): "last"}
        await desk.gain(clean=False)
        for to, command, id_ in found:
            desk.arrive(command, id_, to)
        return desk

    async def gain(self, clean: bool) -> None:
        self.poison.suspects.gained([Lease(p, 1, self.id, 0, "", clean) for p in EVERY])
        await self.poison.learn(EVERY)

    async def attempts(self) -> dict[str, int]:
        return {suspect.id: count for suspect, count in (await self.store.dead.attempts(EVERY)).items()}


async def test_what_was_never_counted_runs_together_and_is_counted_before() -> None:
    desk = await Heir.of([(C1, Add(1), "a"), (C2, Add(1), "b"), (C1, Add(1), "c")])
    await desk.turn()
    assert [sorted(commit) for commit in desk.store.commits] == [["a", "b", "c"]]
    assert desk.store.counted == [{"a": 1, "b": 1, "c": 1}]
    assert await desk.attempts() == {}, "what is settled is no suspect"
    assert desk.outcomes() == dict.fromkeys("abc", ("accepted", False))


async def test_what_was_counted_runs_alone_in_turn_with_the_others() -> None:
    desk = await Heir.of([(C1, Add(1), "a"), (C2, Add(1), "b"), (C3, Add(1), "c"), (C1, Add(1), "behind")], a=1, b=2)
    await desk.turn()
    assert desk.store.commits == [["c"], ["a"], ["b"], ["behind"]]
    assert [counted.get("a", 0) for counted in desk.store.counted] == [1, 2, 0, 0]
    assert desk.store.counted[2:] == [{"b": 3}, {"behind": 1}]
    assert await desk.attempts() == {}


async def test_a_counted_one_in_the_middle_of_a_mailbox_does_not_run_with_those_before_it() -> None:
    desk = await Heir.of([(C1, Add(1), "before"), (C1, Add(1), "counted"), (C1, Add(1), "behind")], counted=1)
    await desk.turn()
    assert desk.store.commits == [["before"], ["counted"], ["behind"]]
    assert len(await desk.store.read_stream(C1)) == 3


async def test_what_killed_too_often_is_quarantined_unheard() -> None:
    desk = await Heir.of([(C1, Add(1), "killer"), (C1, Add(1), "behind"), (C2, Add(1), "other")], killer=ATTEMPTS_MAX)
    await desk.turn()
    assert desk.outcomes() == {
        "killer": ("quarantined", False),
        "behind": ("parked", False),
        "other": ("accepted", False),
    }
    (found,) = await desk.store.dead.parked("demo")
    assert (found.address, found.reason) == (C1, f"killed its process {ATTEMPTS_MAX} times")
    assert await desk.store.read_stream(C1) == []
    assert await desk.attempts() == {}


async def test_what_came_later_is_not_suspected_and_a_partition_calms_down() -> None:
    desk = await Heir.of([(C1, Add(1), "a")])
    assert desk.poison.suspects.any
    await desk.turn()
    desk.arrive(Add(1), "later")
    await desk.turn()
    assert desk.store.counted == [{"a": 1}, {}]
    await desk.committer.advance()
    await desk.poison.review()
    assert not desk.poison.suspects.any


async def test_a_cursor_that_rests_is_rung_on() -> None:
    """The last message of the stream was another process's: nothing will ever come that moves this one's cursor."""
    desk = await Heir.of([])
    desk.bus.witnesses = {7: "another partition's"}
    await desk.gain(clean=False)
    await desk.poison.review()
    assert desk.bus.rung == []
    await desk.poison.review()
    assert {partition_of(bell) for bell in desk.bus.rung} == set(EVERY)
    assert desk.poison.suspects.any


async def test_an_attempt_is_counted_once_however_often_it_is_decided_again() -> None:
    desk = await Heir.of([(C1, Add(1), "a")])
    desk.store.lose = ["commit"]
    (first,) = desk.mailboxes.take(C1, 1)
    await desk.poison.begin([[first]])
    await desk.poison.begin([[first]])
    assert await desk.attempts() == {"a": 1}


async def test_who_is_handed_a_partition_suspects_what_was_suspected_and_nothing_else() -> None:
    desk = await Heir.of([(C1, Add(1), "a")])
    desk.poison.suspects.lost(EVERY)
    await desk.gain(clean=True)
    assert not desk.poison.suspects.any
    await desk.store.dead.attempt([Suspect(partition_of(C1), "demo", "a", 0)])
    await desk.gain(clean=True)
    assert desk.poison.suspects.any
    await desk.turn()
    assert desk.store.counted == [{"a": 2}]
    assert await desk.attempts() == {}


async def test_a_quarantine_whose_answer_was_lost_parks_its_actor() -> None:
    desk = await Heir.of([])
    desk.store.lose = ["commit"]
    desk.arrive(Add(1, "decide"), "bad")
    desk.arrive(Add(1), "behind")
    await desk.turn()
    assert desk.outcomes() == {"bad": ("quarantined", True), "behind": ("parked", False)}
    assert [kept.command.id for kept in await desk.store.dead.kept(C1)] == ["bad", "behind"]


async def test_a_parked_actor_keeps_so_many_commands_and_refuses_further_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WAITING_MAX > 1_000
    monkeypatch.setattr("actors.runtime.poison.WAITING_MAX", 2)
    desk = await Heir.of([])
    for n, command in enumerate([Add(1, "decide"), Add(1), Add(1), Add(1)]):
        desk.arrive(command, f"k{n}")
        await desk.turn()
    assert [outcome for outcome, _ in desk.outcomes().values()] == ["quarantined", "parked", "parked", "refused"]
    reply = desk.bus.replies[-1][1]
    assert reply.code == "parked"
    assert len(await desk.store.dead.kept(C1)) == 3, "the killer, and two"
    await desk.gain(clean=True)
    desk.arrive(Add(1), "k4")
    await desk.turn()
    assert desk.outcomes()["k4"] == ("refused", False), "the next owner counts what is kept"
