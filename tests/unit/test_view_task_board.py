"""The task board, folded in memory."""

from datetime import timedelta

from eventstore.store import Recorded
from projections.fold import folded
from projections.task_board import ARTIFACTS, EVENTS, ROLES, TASKS, TYPES, VIEW, Role, Task
from protocol.message import Event, tag_of
from protocol.orchestrator import CompanyFinished, DeliveryRecorded, PlanMade, PlannedRole, RoleRequested, RoleStarted
from protocol.role import RoleAssigned, RoleDelivered, ToolAnswered, ToolRequest, ToolWanted
from protocol.router import CompletionFailed
from protocol.runtime import CommandQuarantined
from protocol.subjects import Address
from protocol.task import TaskConcluded, TaskSubmitted
from protocol.tools import FileRef, ToolCalled, ToolReturned
from tests.kit.board_run import BEGIN, DIAGRAM, REPORT, Happened, recorded, small_run
from tests.kit.folds import happened, rows_of

SUBMITTED = happened("task", TaskSubmitted("review", "/srv/repo", "p1", "sealed"))
PLAN = PlanMade("review", (PlannedRole("architect", ()), PlannedRole("tester", ("architect",))))
PLANNED = (SUBMITTED, happened("orchestrator", PLAN, second=1))
TESTING = (*PLANNED, happened("tester", RoleAssigned("review", "tester-1"), second=2))


def task(*run: Happened) -> Task:
    (row,) = rows_of(VIEW, TASKS, run)
    return row


def roles(*run: Happened) -> dict[str, Role]:
    return {row.role: row for row in rows_of(VIEW, ROLES, run)}


def at_work(*events: tuple[str, Event]) -> Role:
    """The tester, at work, after these events of streams of that kind."""
    return roles(*TESTING, *(happened(kind, event, second=5) for kind, event in events))["tester"]


def test_a_submitted_task_has_its_row_and_counts_its_first_event() -> None:
    row = task(SUBMITTED)
    assert (row.project, row.task, row.title, row.repo) == ("demo", "t1", "review", "/srv/repo")
    assert (row.person, row.contact, row.status) == ("p1", "sealed", "submitted")
    assert (row.submitted_at, row.submitted_position, row.position, row.events) == (BEGIN, 1, 1, 1)
    (counted,) = rows_of(VIEW, EVENTS, [SUBMITTED])
    assert (counted.type, counted.events, counted.at) == ("task.submitted.v1", 1, BEGIN)


def test_submitted_again_it_keeps_its_place() -> None:
    row = task(*PLANNED, happened("task", TaskSubmitted("review all"), second=9))
    assert (row.title, row.repo, row.status, row.submitted_position) == ("review all", "", "active", 1)


def test_a_plan_starts_the_task_and_lists_its_roles_in_order() -> None:
    row = task(*PLANNED)
    assert (row.status, row.started_at, row.roles_total) == ("active", BEGIN + timedelta(seconds=1), 2)
    assert [(role.role, role.needs, role.ordinal) for role in roles(*PLANNED).values()] == [
        ("architect", (), 1), ("tester", ("architect",), 2),
    ]  # fmt: skip


def test_a_plan_made_again_leaves_a_role_at_work() -> None:
    again = PlanMade("review", (PlannedRole("tester", ()),))
    row = at_work(("orchestrator", again))
    assert (row.status, row.needs, row.ordinal) == ("working", (), 1)
    assert task(*TESTING, happened("orchestrator", again)).roles_total == 2


def test_a_role_moves_from_waiting_to_work_and_never_back() -> None:
    requested = happened("orchestrator", RoleRequested("architect"))
    started = happened("orchestrator", RoleStarted("architect", "architect-1"))
    assigned = happened("architect", RoleAssigned("review", "architect-2"))
    seen = [roles(*PLANNED, *run)["architect"] for run in ((requested,), (requested, started), (assigned, requested))]
    assert [(row.status, row.activity, row.agent) for row in seen] == [
        ("requested", "waiting for an agent", ""),
        ("requested", "being assigned", "architect-1"),
        ("working", "recalling", "architect-2"),
    ]


def test_a_delivery_files_its_artifacts_and_ends_the_role() -> None:
    run = (*TESTING, happened("tester", RoleDelivered("failed", "red", files=(REPORT, DIAGRAM)), second=5))
    row = roles(*run)["tester"]
    assert (row.status, row.summary, row.artifacts) == ("failed", "red", 2)
    assert row.delivered_at == BEGIN + timedelta(seconds=5)
    assert (task(*run).roles_total, task(*run).roles_done) == (2, 1)
    assert [(a.path, a.ordinal, a.sha256, a.size_bytes, a.position) for a in rows_of(VIEW, ARTIFACTS, run)] == [
        (REPORT.path, 0, REPORT.blob, 1_200, 4), (DIAGRAM.path, 1, DIAGRAM.blob, 300, 4),
    ]  # fmt: skip


def test_a_file_delivered_again_takes_the_place_of_the_one_before() -> None:
    newer = FileRef(REPORT.path, "text/html", "ff" * 32, 7)
    deliveries = [happened("tester", RoleDelivered("completed", "", files=files)) for files in ((REPORT,), (newer,))]
    assert roles(*TESTING, *deliveries)["tester"].artifacts == 1
    (row,) = rows_of(VIEW, ARTIFACTS, [*TESTING, *deliveries])
    assert (row.media_type, row.sha256, row.size_bytes, row.position) == ("text/html", "ff" * 32, 7, 5)


def test_the_first_outcome_of_a_role_counts() -> None:
    row = at_work(
        ("orchestrator", DeliveryRecorded("tester", "tester-1", "failed", "no delivery in time")),
        ("tester", RoleDelivered("completed", "too late", files=(REPORT,))),
    )
    assert (row.status, row.summary, row.artifacts) == ("failed", "no delivery in time", 1)


def test_the_orchestrator_is_done_when_the_company_is_and_not_before() -> None:
    run = [
        SUBMITTED,
        happened("orchestrator", RoleAssigned("review", "orchestrator-1")),
        happened("orchestrator", RoleDelivered("completed", "prepared")),
        happened("orchestrator", DeliveryRecorded("orchestrator", "o-1", "completed", "prepared")),
    ]
    before = roles(*run)["orchestrator"]
    assert (before.status, before.activity) == ("working", "following the roles")
    after = roles(*run, happened("orchestrator", CompanyFinished("completed", "hold", "all there")))["orchestrator"]
    assert (after.status, after.activity, after.summary) == ("completed", "", "all there")


def test_tools_count_for_the_role_that_called_them() -> None:
    returned = [ToolReturned("tools/t1@1", "tester", "x", s, "") for s in ("ok", "failed", "could_not_run")]
    row = at_work(
        ("tools", ToolCalled("tester", "r", "tests.run", "review")),
        *(("tools", event) for event in returned),
        ("tools", ToolReturned("tools/t1@1", "tester", "x", "not_applicable", "")),
        ("router", CompletionFailed("tester", 2, "no answer")),
    )
    assert (row.tool_calls, row.tools_returned, row.errors) == (1, 4, 2)
    assert (row.tools_failed, row.tools_could_not_run, row.tools_not_applicable) == (1, 1, 1)


def test_the_tool_asked_for_last_is_shown_until_it_has_answered() -> None:
    wanted = [("tester", ToolWanted(1, ToolRequest(tool, tool))) for tool in ("lint.fix", "tests.run")]
    first, last = (("tester", ToolAnswered(tool, tool, "tools/t1@1", "ok", "")) for tool in ("lint.fix", "tests.run"))
    assert at_work(*wanted, first).activity == "tests.run"
    assert at_work(*wanted, first, last).activity == "waiting for tools"


def test_a_task_concludes() -> None:
    row = task(*TESTING, happened("task", TaskConcluded("failed", "hold", "too late"), second=8))
    assert (row.status, row.verdict, row.summary) == ("failed", "hold", "too late")
    assert row.concluded_at == BEGIN + timedelta(seconds=8)


def test_a_broken_command_counts_for_the_task_that_caused_it() -> None:
    broken = CommandQuarantined("tester", "t1", "c9", "role.assign.v1", "KeyError: 'x'")
    row = task(*TESTING, happened("runtime", broken, name="7"))
    assert (row.quarantined, row.events) == (1, 4)


def test_what_is_said_of_a_task_that_nobody_submitted_changes_nothing() -> None:
    assert not any(folded(VIEW, recorded(TESTING[1:])).values())


def test_a_type_it_does_not_declare_counts_for_its_task_and_nothing_else() -> None:
    dreamt = Recorded(2, Address("demo", "memory", "main"), 1, "memory.dreamt.v7", BEGIN, "t1", "c", b"{}")
    tables = folded(VIEW, [SUBMITTED.recorded(), dreamt])
    (row,) = tables[TASKS].values()
    assert isinstance(row, Task)
    assert (row.events, row.position, row.status) == (2, 2, "submitted")
    assert {key[2] for key in tables[EVENTS]} == {"task.submitted.v1", "memory.dreamt.v7"}


def test_projects_are_apart() -> None:
    other = Happened(Address("other", "task", "t1"), TaskSubmitted("elsewhere"), "t1", 0)
    assert [(row.project, row.title, row.events) for row in rows_of(VIEW, TASKS, [SUBMITTED, other])] == [
        ("demo", "review", 1), ("other", "elsewhere", 1),
    ]  # fmt: skip


def test_the_small_run_uses_every_type_it_declares() -> None:
    assert {tag_of(cls) for cls in TYPES} <= {tag_of(each.event) for each in small_run()}
