"""The views' pure half: which statements an event becomes, and that the SQL files and the views agree."""

import re
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import asyncpg
import pytest
from msgspec.structs import replace

import projections
from eventstore.memory.store import MemoryStore
from projections import agent_board, event_counts, task_board, usage
from projections.projector import Projector
from projections.queries import VIEWS
from projections.statement import Statement, sql
from projections.view import View
from protocol.codec import Malformed
from protocol.message import Event, tag_of
from protocol.orchestrator import CompanyFinished, DeliveryRecorded, PlanMade, PlannedRole
from protocol.registry import AgentChosen, AgentReleased
from protocol.role import RoleAssigned, RoleDelivered
from protocol.router import CompletionFailed, CompletionGiven
from protocol.subjects import Address
from protocol.task import TaskSubmitted
from protocol.tools import ToolCalled, ToolReturned
from tests.kit.board_run import BEGIN, DIAGRAM, REPORT, Happened, small_run

SQL_FOLDER = Path(projections.__file__).parent / "sql"


def project(view: View, kind: str, event: Event, name: str = "t1") -> list[Statement]:
    return list(view.project(Happened(Address("demo", kind, name), event, "t1", 0).recorded(position=5)))


def names(statements: list[Statement]) -> list[str]:
    return [statement.name.removeprefix("task_board_").removeprefix("agent_board_") for statement in statements]


def test_a_submitted_task_gets_its_row_before_it_is_counted() -> None:
    row, counted = project(task_board, "task", TaskSubmitted("review", "/srv/repo", "p1", "sealed"))
    assert row == Statement("task_board_submitted", ("demo", "t1", "review", "/srv/repo", BEGIN, 5, "p1", "sealed"))
    assert counted == Statement("task_board_counted", ("demo", "t1", "task.submitted.v1", 5))


def test_a_plan_starts_the_task_and_lists_its_roles_in_order() -> None:
    plan = PlanMade("review", (PlannedRole("architect", ()), PlannedRole("tester", ("architect",))))
    statements = project(task_board, "orchestrator", plan)
    assert names(statements) == ["started", "role_planned", "role_planned", "roles_counted", "counted"]
    assert statements[2].args == ("demo", "t1", "tester", ["architect"], 2)


def test_a_delivery_files_its_artifacts_and_ends_the_role() -> None:
    statements = project(task_board, "tester", RoleDelivered("failed", "red", files=(REPORT, DIAGRAM)))
    assert names(statements) == [
        "artifact", "artifact", "role_artifacts", "role_delivered", "roles_counted", "counted",
    ]  # fmt: skip
    assert statements[1].args == ("demo", "t1", "tester", DIAGRAM.path, 1, "text/plain", DIAGRAM.blob, 300, 5)
    assert statements[3].args == ("demo", "t1", "tester", "failed", "red", BEGIN)


def test_the_orchestrator_is_done_when_the_company_is_and_not_before() -> None:
    own = project(task_board, "orchestrator", RoleDelivered("completed", "prepared"))
    recorded = project(task_board, "orchestrator", DeliveryRecorded("orchestrator", "o-1", "completed", "prepared"))
    finished = project(task_board, "orchestrator", CompanyFinished("completed", "hold", "all there"))
    assert names(own) == ["role_artifacts", "role_activity", "counted"]
    assert names(recorded) == ["counted"]
    assert finished[0].args == ("demo", "t1", "orchestrator", "completed", "all there", BEGIN)


def test_tools_count_for_the_role_that_called_them() -> None:
    called, _ = project(task_board, "tools", ToolCalled("tester", "r", "tests.run", "review"))
    returned, _ = project(task_board, "tools", ToolReturned("tools/t1@1", "tester", "tests.run", "failed", "red"))
    assert called == Statement("task_board_tool_called", ("demo", "t1", "tester"))
    assert returned == Statement("task_board_tool_returned", ("demo", "t1", "tester", "failed"))


def test_an_agent_is_engaged_by_the_registry_and_released_by_it() -> None:
    (chosen,) = project(agent_board, "registry", AgentChosen("tester", "t1", "tester-1", 1.0), name="main")
    (released,) = project(agent_board, "registry", AgentReleased("tester", "t1", "tester-1", "failed"), name="main")
    (assigned,) = project(agent_board, "tester", RoleAssigned("review", "tester-1"))
    assert chosen == Statement("agent_board_chosen", ("demo", "t1", "tester", "tester-1", BEGIN, 5))
    assert released == Statement("agent_board_closed", ("demo", "t1", "tester", "failed", True, BEGIN, 5))
    assert assigned == Statement("agent_board_assigned", ("demo", "t1", "tester", "tester-1", BEGIN, 5))


def test_a_completion_counts_for_its_day_and_model_and_a_failed_one_for_neither_model() -> None:
    (given,) = project(usage, "router", CompletionGiven("tester", 1, "ef", provider="p", model="m", tokens_in=7))
    (failed,) = project(usage, "router", CompletionFailed("tester", 2, "no answer"))
    assert given == Statement("usage_completed", ("demo", "t1", "tester", BEGIN.date(), "p", "m", 1, 0, 7, 0, 0, 0, 5))
    assert failed == Statement("usage_completed", ("demo", "t1", "tester", BEGIN.date(), "", "", 0, 1, 0, 0, 0, 0, 5))


def test_the_day_of_a_completion_is_the_day_in_utc() -> None:
    late = replace(
        Happened(Address("demo", "router", "t1"), CompletionGiven("tester", 1, "ef"), "t1", 0).recorded(),
        at=datetime(2026, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2))),
    )
    (statement,) = usage.project(late)
    assert statement.args[3] == date(2026, 2, 1)


def test_every_event_is_counted_by_the_kind_of_its_stream() -> None:
    (counted,) = project(event_counts, "tester", RoleAssigned("review", "tester-1"))
    assert counted == Statement("event_counts_counted", ("demo", "tester", "role.assigned.v1", BEGIN, 5))


def test_a_type_a_view_does_not_declare_counts_for_its_task_and_nothing_else() -> None:
    stranger = Happened(Address("demo", "memory", "main"), TaskSubmitted("x"), "t1", 0).recorded()
    unknown = type(stranger)(
        9, stranger.address, 1, "memory.dreamt.v7", stranger.at, "t1", "c", b'{"type":"memory.dreamt.v7"}'
    )
    assert names(list(task_board.project(unknown))) == ["counted"]
    assert list(agent_board.project(unknown)) == []


@pytest.mark.parametrize("view", [task_board, agent_board, usage], ids=lambda view: view.NAME)
def test_a_declared_type_that_does_not_decode_is_an_error(view: View) -> None:
    good = Happened(Address("demo", "tester", "t1"), RoleAssigned("review", "tester-1"), "t1", 0).recorded()
    bad = type(good)(9, good.address, 1, good.type, good.at, "t1", "c", b'{"type":"role.assigned.v1"}')
    with pytest.raises(Malformed, match=r"role\.assigned\.v1"):
        list(view.project(bad))


def test_text_postgresql_cannot_hold_is_marked() -> None:
    assert Statement("x", ("a\0b", 1, ["c"])).bound == ("a\ufffdb", 1, ["c"])


def test_the_small_run_uses_every_type_the_boards_declare() -> None:
    used = {tag_of(happened.event) for happened in small_run()}
    assert {tag_of(cls) for cls in (*task_board.TYPES, *agent_board.TYPES)} <= used


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.NAME)
def test_every_statement_has_its_file_with_as_many_parameters(view: View) -> None:
    seen: set[str] = set()
    for happened in small_run():
        for statement in view.project(happened.recorded()):
            parameters = {int(number) for number in re.findall(r"\$(\d+)", _code(statement.name))}
            assert parameters == set(range(1, len(statement.args) + 1)), statement.name
            seen.add(statement.name)
    files = {path.stem for path in SQL_FOLDER.glob(f"{view.NAME}_*.sql")}
    assert seen | {view.SCHEMA} == files


@pytest.mark.parametrize(("name", "problem"), [("task_board", "share a name"), ("Task Board", "lower-case")])
async def test_names_that_would_break_the_tables_are_refused(name: str, problem: str) -> None:
    other = SimpleNamespace(NAME=name, VERSION=1, SCHEMA="x", project=task_board.project)
    store = MemoryStore()
    with pytest.raises(ValueError, match=problem):
        Projector(store, asyncpg.create_pool(), [task_board, cast(View, other)])


def _code(name: str) -> str:
    """The statement without its comments."""
    return "\n".join(line.partition("--")[0] for line in sql(name).splitlines())
