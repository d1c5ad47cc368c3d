"""The decisions, folded in memory."""

from typing import get_args

from projections.decisions import DECISIONS, TYPES, VIEW, What
from protocol.message import tag_of
from protocol.orchestrator import CompanyFinished
from protocol.role import RoleDelivered
from protocol.subject import SubjectForgotten
from protocol.task import TaskConcluded
from tests.kit.board_run import Happened, small_run, troubled_run
from tests.kit.folds import happened, rows_of

FORGOTTEN = happened("subject", SubjectForgotten("ab" * 16), name="ab" * 16)


def told(run: list[Happened]) -> list[tuple[str, str, str, str, str, str]]:
    return [(row.what, row.task, row.role, row.by, row.subject, row.outcome) for row in rows_of(VIEW, DECISIONS, run)]


def test_a_run_tells_who_decided_what() -> None:
    assert told(troubled_run()) == [
        ("plan", "t1", "", "orchestrator", "", ""),
        ("agent", "t1", "tester", "registry", "tester-1", ""),
        ("retry", "t1", "tester", "p1", "tester/t1", ""),
        ("drop", "t1", "tester", "p2", "tester/t1", ""),
        ("agent", "t2", "tester", "registry", "tester-1", ""),
        ("verdict", "t1", "decision-maker", "decision-maker", "", "no-go"),
    ]


def test_a_decision_says_what_it_rests_on() -> None:
    plan, chosen, retry, drop, _, verdict = rows_of(VIEW, DECISIONS, troubled_run())
    assert plan.facts == {"tester": [], "decision-maker": ["tester"]}
    assert (chosen.score, plan.score) == (1.0, None)
    assert (retry.facts, drop.facts) == ({"command": "c9", "late": False}, {"command": "c9", "late": True})
    assert verdict.facts == {"verdict.decide.verdict": "no-go", "verdict.decide.blocking": 2}
    assert (verdict.reason, verdict.event) == ("two rules forbid it", "decision-maker/t1@1")


def test_company_and_task_come_to_a_verdict_or_to_an_outcome_without_one() -> None:
    ends = [
        happened("orchestrator", CompanyFinished("completed", "hold", "two failed")),
        happened("orchestrator", CompanyFinished("failed", "", "no verdict")),
        happened("task", TaskConcluded("completed", "go", "all green")),
    ]
    assert told(ends) == [
        ("company", "t1", "", "orchestrator", "", "hold"),
        ("company", "t1", "", "orchestrator", "", "failed"),
        ("task", "t1", "", "task", "", "go"),
    ]
    assert [row.reason for row in rows_of(VIEW, DECISIONS, ends)] == ["two failed", "no verdict", "all green"]


def test_a_judge_without_a_verdict_decided_by_its_outcome() -> None:
    assert told([happened("decision-maker", RoleDelivered("failed", "no answer"))])[0][5] == "failed"


def test_the_delivery_of_another_role_is_no_decision() -> None:
    assert told([happened("tester", RoleDelivered("completed", "green"))]) == []


def test_a_forgotten_subject_is_told_by_its_key() -> None:
    assert told([FORGOTTEN]) == [("forget", "", "", "subject", "ab" * 16, "")]


def test_every_type_and_every_kind_of_decision_is_in_the_runs() -> None:
    run = [*small_run(), *troubled_run(), FORGOTTEN]
    assert {tag_of(cls) for cls in TYPES} <= {tag_of(each.event) for each in run}
    assert {row.what for row in rows_of(VIEW, DECISIONS, run)} == set(get_args(What))
