"""A comparison of decisions says the same of every store."""

from dataclasses import replace

from actors.runtime.compare import Compare
from actors.runtime.differences import Comparison
from actors.runtime.kind import Kind
from eventstore.store import EventStore
from protocol.message import Event, Refusal
from tests.kit.counting import COUNTER, KINDS, WORKER, Add, Added, Count
from tests.kit.histories import write_history
from tests.kit.turns import Turns

Found = set[tuple[str, str, str]]


async def compare(store: EventStore, *changed: Kind[Count]) -> Comparison:
    head = await store.head()
    return await Compare(store, KINDS | {kind.name: kind for kind in changed}, 1, head, head).run()


def brief(found: Comparison) -> Found:
    return {(each.address.name, each.then, each.now) for each in found.differences}


async def test_the_same_code_decides_the_same(store: EventStore) -> None:
    await write_history(store)
    found = await compare(store)
    assert found.differences == []
    assert found.skipped == {}
    assert found.compared["counter", "counter.add.v1"] == 452
    causes = {event.causation for event in await store.read(0)}
    assert found.compared.total() == len(causes) + 151, "and those that led to nothing"


async def test_changed_code_is_found_out(store: EventStore) -> None:
    """For what was accepted, refused and silent; and what an effect came to that nobody wants any more."""
    await write_history(store)

    def otherwise(_: Count, command: Add) -> tuple[Event, ...]:
        if command.n == 5:
            raise Refusal("too-much", "five")
        return (Added(abs(command.n)),)

    found = await compare(store, replace(COUNTER, decide=otherwise))
    assert brief(found) == {
        ("c1", "silence", "counter.added.v1"),
        ("c2", "counter.added.v1", "refused: too-much"),
        ("c2", "refused: negative", "counter.added.v1"),
    }
    assert found.differing.total() == 152
    gone = await compare(store, replace(WORKER, react=lambda *_: ()))  # pyright: ignore[reportArgumentType, reportUnknownLambdaType]
    assert {(each.what, each.address.name) for each in gone.differences} == {
        ("reaction", "w1"), ("reaction", "w3"), ("reaction", "w4")
    }  # fmt: skip


async def test_the_state_of_then_is_the_state_it_is_decided_on(store: EventStore) -> None:
    turns = await Turns.of(store, KINDS)
    for n in (1, 0, 2, 0, 3, 0):
        await turns.tell("counter", "c1", Add(n))
        await turns.tell("counter", "other", Add(1))
        await turns.tell("counter", "other", Add(1))

    def bored(state: Count, command: Add) -> tuple[Event, ...]:
        if not command.n and state.total == 3:
            raise Refusal("bored", "of that")
        return (Added(command.n),) if command.n else ()

    found = await compare(store, replace(COUNTER, decide=bored))
    assert brief(found) == {("c1", "silence", "refused: bored")}
    assert [each.id for each in found.differences] == ["counter-10"]
