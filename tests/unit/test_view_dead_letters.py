"""Commands that broke their actor, folded in memory; and that the store says the same."""

from datetime import timedelta

import pytest

from projections.dead_letters import LETTERS, TYPES, VIEW, Letter
from protocol.message import Event, tag_of
from protocol.runtime import ActorDropped, ActorRetried, CommandQuarantined
from tests.kit.board_run import BEGIN, Happened, small_run
from tests.kit.folds import happened, rows_of

BROKE = CommandQuarantined("tester", "t1", "c9", "role.assign.v1", "KeyError: 'x'", b'{"contact":"secret"}')
PARKED = Letter(
    project="demo", kind="tester", name="t1", id="c9", command_type="role.assign.v1", error="KeyError: 'x'", task="t1",
    times=1, quarantined_at=BEGIN, quarantined_position=1, position=1, at=BEGIN,
)  # fmt: skip


def said(*events: Event) -> list[Happened]:
    return [happened("runtime", event, "7", second) for second, event in enumerate(events)]


def letters(*events: Event) -> list[Letter]:
    return rows_of(VIEW, LETTERS, said(*events))


def test_a_command_that_breaks_its_actor_is_parked_without_its_body() -> None:
    assert letters(BROKE) == [PARKED]


@pytest.mark.parametrize(("made", "state"), [(ActorRetried, "retried"), (ActorDropped, "dropped")])
def test_it_is_let_go_on_by_somebody(made: type[ActorRetried | ActorDropped], state: str) -> None:
    (row,) = letters(BROKE, made("tester", "t1", "c9", True, "p1"))
    assert (row.state, row.by, row.late, row.released_at) == (state, "p1", True, BEGIN + timedelta(seconds=1))
    assert (row.error, row.quarantined_at, row.times, row.position) == (PARKED.error, BEGIN, 1, 2)


def test_broken_again_after_a_retry_it_is_parked_again() -> None:
    other = CommandQuarantined("tester", "t1", "c9", "role.assign.v1", "ValueError")
    (row,) = letters(BROKE, ActorRetried("tester", "t1", "c9", True, "p1"), other)
    assert (row.state, row.times, row.error, row.quarantined_position) == ("parked", 2, "ValueError", 3)
    assert (row.released_at, row.by, row.late) == (None, "", False)


def test_actors_and_commands_are_apart() -> None:
    rows = letters(
        BROKE,
        CommandQuarantined("tester", "t2", "c9", "role.assign.v1", "x"),
        CommandQuarantined("tester", "t1", "c10", "role.assign.v1", "x"),
        ActorDropped("tester", "t1", "c9"),
    )
    assert [(row.name, row.id, row.state) for row in rows] == [
        ("t1", "c9", "dropped"), ("t2", "c9", "parked"), ("t1", "c10", "parked"),
    ]  # fmt: skip


def test_the_small_run_uses_every_type_but_a_drop() -> None:
    (row,) = rows_of(VIEW, LETTERS, small_run())
    assert (row.state, row.by, row.task) == ("retried", "p1", "t1")
    assert {tag_of(cls) for cls in TYPES} - {tag_of(each.event) for each in small_run()} == {tag_of(ActorDropped)}
