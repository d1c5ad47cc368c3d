"""The orchestrator: who begins when, who is late, and how it ends."""

from hypothesis import given
from hypothesis import strategies as st

from actors.roles.orchestrator.core import JUDGE, SELF, VERDICT_FACT, State
from actors.roles.orchestrator.effects import REGISTRY, ROLE_S_MAX, make_orchestrator
from actors.roles.playbook import Playbook
from actors.runtime.kind import Cancel, Send, Timer
from protocol.memory import Recall
from protocol.message import Command
from protocol.orchestrator import (
    CompanyFinished,
    DeliveryRecorded,
    PlanMade,
    PlannedRole,
    RecordAssignment,
    RecordDelivery,
    RecordOverdue,
    RoleRequested,
    RoleStarted,
)
from protocol.registry import ChooseAgent, ReleaseAgent
from protocol.role import AssignRole, RecordCompletion, RoleAssigned, RoleBriefed, RoleDelivered
from protocol.task import ConcludeTask
from tests.kit.scenario import Scenario, silent

BOOK = Playbook("orchestrator", "management", "Orchestrator", 1, "Plan.", "Plan", ())
PLAN = (
    PlannedRole("architect", (SELF,)),
    PlannedRole("developer", (SELF,)),
    PlannedRole("tester", (SELF, "developer")),
    PlannedRole(JUDGE, ("architect", "tester")),
)
KIND = make_orchestrator(BOOK, PLAN)
NEW = Scenario.of(KIND)
ASSIGNED = NEW.given(RoleAssigned("review", "orchestrator-1", "/srv/repo"))
OWN_DONE = RecordDelivery(SELF, "completed", "the clone is ready", {}, 1)
BEGUN = ASSIGNED.given(RoleBriefed(), RoleDelivered("completed", "the clone is ready")).when(OWN_DONE)


def started(state: Scenario, *roles: str) -> Scenario:
    for role in roles:
        state = state.when(RecordAssignment(role, f"{role}-1"))
    return state


def done(state: Scenario, role: str) -> Scenario:
    return state.when(RecordDelivery(role, "completed", f"{role} is done", {}, 2))


def recorded(role: str) -> DeliveryRecorded:
    return DeliveryRecorded(role, f"{role}-1", "completed", f"{role} is done", 2)


def test_it_takes_an_agent_for_itself_like_any_role() -> None:
    NEW.when(AssignRole("review", "orchestrator-1", "/srv/repo")).follows(
        Send("memory", "main", Recall("/srv/repo", SELF, "t1", 3)),
        Send("registry", REGISTRY, ChooseAgent(SELF, "t1")),
        Timer(f"overdue-{SELF}", ROLE_S_MAX, RecordOverdue(SELF)),
    )
    silent(ASSIGNED, RecordAssignment(SELF, "orchestrator-1"))


def test_with_its_own_part_done_the_plan_stands_and_those_who_wait_for_nobody_begin() -> None:
    BEGUN.then(
        PlanMade("review", PLAN, "/srv/repo"),
        DeliveryRecorded(SELF, "orchestrator-1", "completed", "the clone is ready", 1),
        RoleRequested("architect"),
        RoleRequested("developer"),
    ).follows(
        Cancel(f"overdue-{SELF}"),
        Send("registry", REGISTRY, ChooseAgent("architect", "t1")),
        Send("registry", REGISTRY, ChooseAgent("developer", "t1")),
    )


def test_its_own_part_may_be_late_too_and_the_others_begin_without_it() -> None:
    late = ASSIGNED.when(RecordOverdue(SELF)).then(
        PlanMade("review", PLAN, "/srv/repo"),
        DeliveryRecorded(SELF, "orchestrator-1", "failed", "no delivery within the time a role has"),
        RoleRequested("architect"),
        RoleRequested("developer"),
    )
    silent(late, OWN_DONE, RecordOverdue(SELF))
    silent(BEGUN, OWN_DONE)


def test_its_own_delivery_goes_to_itself() -> None:
    (to_itself, _) = ASSIGNED.given(RoleBriefed()).when(RecordCompletion(1, (), "blob", 9)).followed
    assert isinstance(to_itself, Send)
    assert (to_itself.kind, to_itself.name) == (SELF, "t1")
    assert isinstance(to_itself.command, RecordDelivery)


def test_a_failed_own_part_still_lets_the_others_say_what_they_lack() -> None:
    failed = ASSIGNED.given(RoleBriefed(), RoleDelivered("failed", "no clone"))
    failed.when(RecordDelivery(SELF, "failed", "no clone")).then_kinds(
        PlanMade, DeliveryRecorded, RoleRequested, RoleRequested
    )


def test_an_agent_starts_its_role_once_with_a_bound_on_its_time() -> None:
    begun = BEGUN.when(RecordAssignment("architect", "ada")).then(RoleStarted("architect", "ada"))
    begun.follows(
        Send("architect", "t1", AssignRole("review", "ada", "/srv/repo")),
        Timer("overdue-architect", ROLE_S_MAX, RecordOverdue("architect")),
    )
    silent(begun, RecordAssignment("architect", "bob"), RecordAssignment("tester", "bob"))


def test_a_delivery_releases_the_agent_and_begins_whoever_waited_for_it_alone() -> None:
    both = started(BEGUN, "architect", "developer")
    after = done(both, "developer").then(recorded("developer"), RoleRequested("tester"))
    after.follows(
        Cancel("overdue-developer"),
        Send("registry", REGISTRY, ReleaseAgent("developer", "t1", "completed")),
        Send("registry", REGISTRY, ChooseAgent("tester", "t1")),
    )
    done(both, "architect").then(recorded("architect"))
    silent(after, RecordDelivery("developer", "failed", "again"), RecordDelivery("tester", "completed", "too early"))


def test_a_role_that_is_late_is_given_up_and_the_others_go_on() -> None:
    late = started(BEGUN, "architect", "developer").when(RecordOverdue("developer"))
    late.then_kinds(DeliveryRecorded, RoleRequested)
    (record, _) = late.decided
    assert isinstance(record, DeliveryRecorded)
    assert (record.role, record.agent, record.outcome) == ("developer", "developer-1", "failed")
    assert Send("registry", REGISTRY, ReleaseAgent("developer", "t1", "failed")) in late.followed
    silent(late, RecordDelivery("developer", "completed", "at last"), RecordOverdue("developer"))
    silent(BEGUN, RecordOverdue("architect"), RecordOverdue("tester"))


NEARLY = started(done(done(started(BEGUN, "architect", "developer"), "architect"), "developer"), "tester")


def test_the_verdict_concludes_the_task() -> None:
    last = started(done(NEARLY, "tester").then(recorded("tester"), RoleRequested(JUDGE)), JUDGE)
    end = last.when(RecordDelivery(JUDGE, "completed", "hold: no licence", {VERDICT_FACT: "hold"}, 1))
    end.then(
        DeliveryRecorded(JUDGE, f"{JUDGE}-1", "completed", "hold: no licence", 1),
        CompanyFinished("completed", "hold", "hold: no licence"),
    ).follows(
        Cancel(f"overdue-{JUDGE}"),
        Send("registry", REGISTRY, ReleaseAgent(JUDGE, "t1", "completed")),
        Send("task", "t1", ConcludeTask("completed", "hold", "hold: no licence")),
        Send("registry", REGISTRY, ReleaseAgent(SELF, "t1", "completed")),
    )
    silent(end, RecordDelivery(JUDGE, "completed", "again"), RecordOverdue(JUDGE), OWN_DONE)


def test_without_a_verdict_the_task_has_failed_and_who_failed_is_said() -> None:
    last = started(NEARLY.when(RecordOverdue("tester")), JUDGE)
    (_, end) = last.when(RecordOverdue(JUDGE)).then_kinds(DeliveryRecorded, CompanyFinished).decided
    assert isinstance(end, CompanyFinished)
    assert (end.outcome, end.verdict) == ("failed", "")
    assert f"failed: {JUDGE}, tester" in end.summary


@given(st.data())
def test_in_whatever_order_things_come_each_role_starts_once_and_the_company_ends(data: st.DataObject) -> None:
    now = BEGUN
    roles = [planned.role for planned in PLAN]
    for _ in range(40):
        role = data.draw(st.sampled_from(roles))
        command: Command = data.draw(
            st.sampled_from(
                [
                    RecordAssignment(role, f"{role}-1"),
                    RecordDelivery(role, "completed", "done", {VERDICT_FACT: "go"}),
                    RecordOverdue(role),
                ]
            )
        )
        before: State = now.state
        now = now.when(command)
        for event in now.decided:
            if isinstance(event, RoleRequested):
                needs = next(planned.needs for planned in PLAN if planned.role == event.role)
                state: State = now.state
                assert event.role not in before.requested
                assert all(need in state.delivered for need in needs)
            if isinstance(event, RoleStarted):
                assert event.role not in before.agents
    for role in roles:  # The rest comes in order: whatever came before, it must end.
        now = now.when(RecordAssignment(role, f"{role}-1")).when(RecordOverdue(role))
    state = now.state
    assert state.finished
    assert set(state.delivered) == {SELF, *roles}
