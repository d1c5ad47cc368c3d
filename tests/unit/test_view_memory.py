"""How memory is used, folded in memory: counts, never text."""

from datetime import timedelta

from projections.memory_stats import STATS, SUBJECTS, TYPES, VIEW, MemoryStats
from protocol.memory import SUBJECT_LENGTH_MAX, Memory, Recalled, Remembered
from protocol.message import Event, tag_of
from tests.kit.board_run import BEGIN, Happened, small_run
from tests.kit.folds import happened, rows_of

KNOWN = Memory("/a", "tester", "t0", "secret words", "p1")


def use(*said: Event, project: str = "demo") -> list[Happened]:
    return [happened("memory", event, "main", second, project) for second, event in enumerate(said)]


def test_what_a_role_remembers_and_recalls_is_counted() -> None:
    run = use(
        Remembered(KNOWN),
        Recalled("/a", "tester", "t1"),
        Recalled("/a", "tester", "t1", (KNOWN, KNOWN)),
        Remembered(Memory("/a", "tester", "t1", "more")),
        Remembered(Memory("/b", "architect", "t1", "x")),
    )
    tester, architect = rows_of(VIEW, STATS, run)
    assert tester == MemoryStats(
        project="demo", role="tester", remembered=2, recalls=2, empty=1, handed_out=2,
        remembered_at=BEGIN + timedelta(seconds=3), recalled_at=BEGIN + timedelta(seconds=2),
        position=4, at=BEGIN + timedelta(seconds=3),
    )  # fmt: skip
    assert (architect.remembered, architect.recalls, architect.recalled_at) == (1, 0, None)


def test_a_role_has_as_many_subjects_as_rows_and_they_sum_to_it() -> None:
    run = use(
        Remembered(KNOWN),
        Remembered(Memory("/b", "tester", "t1", "x")),
        Recalled("/b", "tester", "t1"),
        Recalled("/c", "tester", "t1"),
        Recalled("/c", "presenter", "t1"),
    )
    subjects = [row for row in rows_of(VIEW, SUBJECTS, run) if row.role == "tester"]
    assert [(row.subject, row.remembered, row.recalls) for row in subjects] == [
        ("/a", 1, 0),
        ("/b", 1, 1),
        ("/c", 0, 1),
    ]
    tester = rows_of(VIEW, STATS, run)[0]
    assert (sum(row.remembered for row in subjects), sum(row.empty for row in subjects)) == (2, 2)
    assert (tester.remembered, tester.empty) == (2, 2)


def test_the_longest_subject_has_a_short_key() -> None:
    first, second = "x" * SUBJECT_LENGTH_MAX, "x" * (SUBJECT_LENGTH_MAX - 1) + "y"
    rows = rows_of(VIEW, SUBJECTS, use(Recalled(first, "tester", "t1"), Recalled(second, "tester", "t1")))
    assert [row.subject for row in rows] == [first, second]
    assert {len(row.subject_hash) for row in rows} == {64}


def test_no_row_holds_a_word_of_it_or_whom_it_is_about() -> None:
    run = use(Remembered(KNOWN), Recalled("/a", "tester", "t1", (KNOWN,)))
    for rows in (rows_of(VIEW, STATS, run), rows_of(VIEW, SUBJECTS, run)):
        assert "secret" not in repr(rows)
        assert "p1" not in repr(rows)


def test_projects_are_apart_and_the_small_run_uses_every_type() -> None:
    run = [*small_run(), *use(Remembered(KNOWN), project="other")]
    assert [(row.project, row.remembered, row.handed_out) for row in rows_of(VIEW, STATS, run)] == [
        ("demo", 1, 1), ("other", 1, 0),
    ]  # fmt: skip
    assert {tag_of(cls) for cls in TYPES} <= {tag_of(each.event) for each in run}
