"""The promises of histories: commands with their bytes, and what is under way, a page at a time."""

import pytest

from eventstore.histories import (
    FIRST,
    PENDING_CLASSES,
    EventlessCommand,
    KeptCommand,
    PendingWork,
    SettledCommand,
)
from eventstore.records import Parking, Waiting
from eventstore.store import BadInput, EventStore, Settled
from tests.kit.units import FUTURE, NOON, Owner, actor, effect, event, external, send, timer, unit

A1, A2 = actor("a1"), actor("a2")


async def test_accepted_commands_come_with_their_bytes_and_to_their_own_actor(store: EventStore, owner: Owner) -> None:
    refused = Settled("c3", "task.note.v1", "refused", "no: not now", headers=b"{}", body=b'{"n":3}')
    await owner.commit(
        unit("a1", command=None, settled=(external("c1", body=b'{"n":1}'), external("c2", body=b'{"n":2}'))),
        unit("a2", command=None, settled=(external("other", body=b"{}"), refused), events=1),
    )
    found = await store.histories.commands(A1, ["c1", "c2", "other", "never"])
    assert found == {
        "c1": SettledCommand("c1", "task.note.v1", b'{"n":1}'),
        "c2": SettledCommand("c2", "task.note.v1", b'{"n":2}'),
    }
    assert await store.histories.commands(A2, ["c3"]) == {}, "what was refused led to nothing"
    assert await store.histories.commands(actor("a1", project="else"), ["c1"]) == {}
    assert await store.histories.commands(A1, []) == {}


async def test_many_commands_of_one_commit_come_with_their_bytes_too(store: EventStore, owner: Owner) -> None:
    """A store may keep those of a big commit in another way."""
    for name in ("a1", "a2"):
        commands = tuple(external(f"{name}-{n}", body=b'{"n":%d}' % n) for n in range(60))
        await owner.commit(unit(name, command=None, settled=commands))
        found = await store.histories.commands(actor(name), [command.id for command in commands])
        assert {id_: command.body for id_, command in found.items()} == {c.id: c.body for c in commands}


async def test_what_is_under_way_is_read_page_by_page_in_order(store: EventStore, owner: Owner) -> None:
    b = [actor(f"b{n}") for n in range(3)]
    await owner.commit(
        unit(
            "a1",
            sends=tuple(send(f"task/a1@1.{n}", b[n % 3]) for n in range(7)),
            timers=(timer("late", FUTURE, b'{"t":1}'), timer("Early", FUTURE)),
            effects=(effect("task/a1@1.7"), effect("task/a1@1.8", "other")),
        ),
        unit("a2", command="c2", timers=(timer("late", FUTURE),)),
    )
    for what, expected in (
        ("send", [(b[n % 3], f"task/a1@1.{n}", "task.note.v1", "task/a1") for n in (0, 3, 6, 1, 4, 2, 5)]),
        ("timer", [(a, key, "task.note.v1", "") for a, key in ((A1, "Early"), (A1, "late"), (A2, "late"))]),
        ("effect", [(A1, "task/a1@1.7", "tool", ""), (A1, "task/a1@1.8", "other", "")]),
        ("parked", []),
    ):  # fmt: skip
        read: list[PendingWork] = []
        while page := await store.histories.pending(what, read[-1].place if read else FIRST, 2):  # pyright: ignore[reportArgumentType]
            assert len(page) <= 2
            read.extend(page)
        assert [(each.address, each.key, each.type, each.sender) for each in read] == expected
        assert {each.what for each in read} <= {what}
    (late,) = [t for t in await store.histories.pending("timer", FIRST, 9) if (t.address, t.key) == (A1, "late")]
    assert late.body == b'{"t":1}'


async def test_what_waits_for_a_parked_actor_is_under_way_too(store: EventStore, owner: Owner) -> None:
    kept = Settled("c1", "task.note.v1", "parked", headers=b"{}", body=b'{"n":1}')
    waits = Waiting(A1, "c1", "task.note.v1", b'{"n":1}', b"{}", NOON, "run")
    verdicts = await owner.commit(
        unit(
            "a1", expected=None, command=None, settled=(kept,), events=0, parks=(Parking(A1, "broke"),), waits=(waits,)
        )
    )
    assert [verdict.status for verdict in verdicts] == ["committed"]
    assert await store.histories.pending("parked", FIRST, 9) == [
        PendingWork("parked", A1, "c1", "task.note.v1", b'{"n":1}')
    ]


async def test_a_class_that_there_is_not_is_refused(store: EventStore) -> None:
    with pytest.raises(BadInput, match="parked"):
        await store.histories.pending("nonsense", FIRST, 1)  # pyright: ignore[reportArgumentType]
    for what in PENDING_CLASSES:
        assert await store.histories.pending(what, FIRST, 10) == []


async def test_commands_that_led_to_nothing_come_with_where_the_log_stood(store: EventStore, owner: Owner) -> None:
    def mute(id_: str, outcome: str, body: bytes = b"{}") -> Settled:
        return Settled(id_, "task.note.v1", outcome, f"{outcome}: why", headers=b'{"h":1}', body=body)  # pyright: ignore[reportArgumentType]

    async def eventless() -> dict[str, EventlessCommand]:
        return {row.id: row async for page in store.histories.eventless() for row in page}

    assert await eventless() == {}
    await owner.commit(unit("a1", None, None, settled=(mute("early", "silent"),), events=0))
    await owner.commit(unit("a1", command="c1", events=2))
    await owner.commit(unit("a2", None, None, settled=(mute("between", "refused"),), events=0))
    await owner.commit(unit("a1", 2, None, settled=(external("c2"), mute("with", "silent")), events=(event(3, "c2"),)))
    await owner.commit(unit("a1", 3, "c3", events=2))
    await owner.commit(unit("a1", None, None, settled=(mute("late", "parked", b'{"n":9}'),), events=0))
    found = await eventless()
    assert found.keys() == {"early", "between", "with", "late"}
    assert (found["between"].address, found["between"].outcome, found["between"].detail) == (
        A2, "refused", "refused: why"
    )  # fmt: skip
    stood = {"early": {0}, "between": {2}, "with": {2, 3}, "late": {5}}
    for id_, row in found.items():
        assert row.low <= row.stood <= row.high
        assert row.stood in stood[id_]
        assert all(row.low <= position <= row.high for position in stood[id_])
    assert found["between"].low == 0, "the commit before may be its own"
    assert found["between"].high <= 3
    keys = [("late", 0), ("c2", 0), ("never", 0), ("late", 7)]
    assert await store.histories.kept("demo", keys) == {
        ("late", 0): KeptCommand("task.note.v1", b'{"h":1}', b'{"n":9}'),
        ("c2", 0): KeptCommand("task.note.v1", b"{}", b"{}"),
    }
