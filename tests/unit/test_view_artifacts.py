"""The artifacts, folded in memory."""

from datetime import timedelta

from projections.artifacts import ARTIFACTS, VERSIONS, VIEW
from protocol.role import Delivery, RoleDelivered
from protocol.tools import FileRef
from tests.kit.board_run import BEGIN, DIAGRAM, REPORT, Happened
from tests.kit.folds import happened, rows_of

NEWER = FileRef(REPORT.path, "text/html", "ff" * 32, 7)


def delivered(*files: FileRef, outcome: Delivery = "completed", role: str = "tester", second: int = 0) -> Happened:
    return happened(role, RoleDelivered(outcome, "", files=files), second=second)


def test_a_delivered_file_is_listed_with_its_place_and_time() -> None:
    first, second = rows_of(VIEW, ARTIFACTS, [delivered(REPORT, DIAGRAM, outcome="failed", second=3)])
    assert (first.project, first.task, first.role, first.path) == ("demo", "t1", "tester", REPORT.path)
    assert (first.media_type, first.sha256, first.size_bytes) == ("text/markdown", REPORT.blob, 1_200)
    assert (first.ordinal, second.ordinal, first.versions, first.position) == (0, 1, 1, 1)
    assert first.at == first.first_at == BEGIN + timedelta(seconds=3)


def test_a_file_delivered_again_is_the_same_one_in_another_version() -> None:
    run = [delivered(DIAGRAM, REPORT), delivered(NEWER, second=5), delivered(REPORT, role="architect")]
    by_role = {(row.role, row.path): row for row in rows_of(VIEW, ARTIFACTS, run)}
    row = by_role["tester", REPORT.path]
    assert (row.sha256, row.size_bytes, row.media_type, row.ordinal) == (NEWER.blob, 7, "text/html", 0)
    assert (row.versions, row.first_position, row.position, row.first_at) == (2, 1, 2, BEGIN)
    assert by_role["architect", REPORT.path].versions == 1
    assert [(row.role, row.path, row.sha256, row.position) for row in rows_of(VIEW, VERSIONS, run)] == [
        ("tester", DIAGRAM.path, DIAGRAM.blob, 1),
        ("tester", REPORT.path, REPORT.blob, 1),
        ("tester", REPORT.path, NEWER.blob, 2),
        ("architect", REPORT.path, REPORT.blob, 3),
    ]


def test_of_a_path_that_is_twice_in_a_delivery_the_last_counts_and_counts_once() -> None:
    run = [delivered(REPORT, NEWER)]
    (row,) = rows_of(VIEW, ARTIFACTS, run)
    (version,) = rows_of(VIEW, VERSIONS, run)
    assert (row.sha256, row.versions, row.ordinal) == (NEWER.blob, 1, 1)
    assert version.sha256 == NEWER.blob
