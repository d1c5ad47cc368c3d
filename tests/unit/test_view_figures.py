"""Usage of language models and events by type, folded in memory."""

from datetime import date, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from eventstore.store import Recorded
from projections import event_counts, usage
from projections.fold import CannotFold, folded
from protocol.message import Event
from protocol.role import RoleAssigned
from protocol.router import CompletionFailed, CompletionGiven
from tests.kit.board_run import BEGIN, arbitrary_run, recorded, small_run
from tests.kit.folds import happened, rows_of

GIVEN = CompletionGiven(
    "tester", 1, "ef", provider="p", model="m", tokens_in=7, tokens_out=3, cost_micros=40, priced=True
)


def events(*said: tuple[str, Event]) -> list[Recorded]:
    """Of task t1, one a second, by the kind of their stream."""
    return recorded([happened(kind, event, second=second) for second, (kind, event) in enumerate(said, start=1)])


def test_a_completion_counts_for_its_day_agent_and_model_and_a_failed_one_for_whom_it_asked() -> None:
    log = events(
        ("tester", RoleAssigned("review", "tester-1")),
        ("router", GIVEN),
        ("router", replace(GIVEN, turn=2, priced=False)),
        ("router", CompletionFailed("tester", 3, "no answer")),
        ("router", CompletionFailed("tester", 4, "no answer", "p", "m", 1.0)),
    )
    rows = folded(usage.VIEW, log)[usage.USAGE]
    empty = usage.Usage(
        project="demo", day=BEGIN.date(), role="tester", agent="tester-1", provider="", model="", position=4
    )
    given = replace(
        empty, provider="p", model="m", requests=2, errors=1, tokens_in=14, tokens_out=6, priced=1, cost_micros=40,
        position=5, at=log[4].at,
    )  # fmt: skip
    assert list(rows.values()) == [given, replace(empty, errors=1, at=log[3].at)]


def test_a_completion_of_a_role_that_nobody_has_counts_without_an_agent() -> None:
    log = events(("router", GIVEN), ("tester", RoleAssigned("review", "tester-1")), ("router", GIVEN))
    rows = folded(usage.VIEW, log)[usage.USAGE]
    assert [(row.agent, row.requests) for row in rows.values() if isinstance(row, usage.Usage)] == [
        ("", 1),
        ("tester-1", 1),
    ]


def test_who_takes_a_role_over_has_what_comes_after() -> None:
    first, second = RoleAssigned("review", "tester-1"), RoleAssigned("review", "tester-2")
    log = events(("tester", first), ("router", GIVEN), ("tester", second), ("router", GIVEN), ("router", GIVEN))
    rows = folded(usage.VIEW, log)[usage.USAGE]
    assert {key[3]: row.position for key, row in rows.items()} == {"tester-1": 2, "tester-2": 5}


def test_the_day_of_a_completion_is_the_day_in_utc() -> None:
    (given,) = events(("router", GIVEN))
    late = replace(given, at=datetime(2026, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2))))
    (key,) = folded(usage.VIEW, [late])[usage.USAGE]
    assert key[1] == date(2026, 2, 1)


def test_an_assignment_that_does_not_decode_is_an_error() -> None:
    (good,) = events(("tester", RoleAssigned("review", "tester-1")))
    bad = replace(good, body=b'{"type":"role.assigned.v1"}')
    with pytest.raises(CannotFold, match=r"role\.assigned\.v1"):
        folded(usage.VIEW, [bad])


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_of_usage_are_those_of_the_log(seed: int) -> None:
    run = [*small_run(), *arbitrary_run(seed, 200)]
    said = [each.event for each in run]
    given = [event for event in said if isinstance(event, CompletionGiven)]
    failed = [event for event in said if isinstance(event, CompletionFailed)]
    rows = rows_of(usage.VIEW, usage.USAGE, run)
    assert given
    assert failed
    for by in ("day", "role", "agent", "provider", "model"):
        apart = {getattr(row, by) for row in rows}
        sums = [
            [sum(getattr(row, name) for row in rows if getattr(row, by) == value) for value in apart]
            for name in ("requests", "errors", "tokens_in", "cost_micros")
        ]
        assert [sum(of) for of in sums] == [
            len(given),
            len(failed),
            sum(event.tokens_in for event in given),
            sum(event.cost_micros for event in given if event.priced),
        ]


def test_every_event_is_counted_by_the_kind_of_its_stream() -> None:
    log = events(("tester", RoleAssigned("review", "tester-1")), ("router", GIVEN), ("router", GIVEN))
    unknown = replace(log[2], position=4, type="memory.dreamt.v7", body=b'{"type":"memory.dreamt.v7"}')
    rows = folded(event_counts.VIEW, [*log, unknown])[event_counts.COUNTS]
    assert {key: (row.position, row.at) for key, row in rows.items()} == {
        ("demo", "tester", "role.assigned.v1"): (1, BEGIN + timedelta(seconds=1)),
        ("demo", "router", "router.completion_given.v1"): (3, BEGIN + timedelta(seconds=3)),
        ("demo", "router", "memory.dreamt.v7"): (4, BEGIN + timedelta(seconds=3)),
    }
    assert [row.events for row in rows.values() if isinstance(row, event_counts.EventCount)] == [1, 2, 1]


def test_the_counts_are_those_of_the_run() -> None:
    run = small_run()
    assert sum(row.events for row in rows_of(event_counts.VIEW, event_counts.COUNTS, run)) == len(run)
