"""The agent board, folded in memory."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from projections.agent_board import AGENTS, ENGAGEMENTS, QUEUES, TYPES, VIEW, Agent, Engagement
from protocol.message import Event, tag_of
from protocol.orchestrator import CompanyFinished
from protocol.registry import AgentChosen, AgentRegistered, AgentReleased, ChoiceQueued, ChoiceWithdrawn
from protocol.role import QuestionAsked, RoleAssigned, RoleDelivered
from protocol.router import CompletionFailed, CompletionGiven
from protocol.runtime import ActorDropped, ActorRetried, CommandQuarantined
from protocol.tools import ToolCalled, ToolReturned
from tests.kit.board_run import BEGIN, Happened, small_run, troubled_run
from tests.kit.folds import happened, rows_of

REGISTERED = happened("registry", AgentRegistered("tester-1", "tester", 2, ("python",)), name="main")
CHOSEN = happened("registry", AgentChosen("tester", "t1", "tester-1", 1.0), name="main", second=1)
ASSIGNED = happened("tester", RoleAssigned("review", "tester-1"), second=2)
RELEASED = happened("registry", AgentReleased("tester", "t1", "tester-1", "failed"), name="main", second=9)


def agents(*run: Happened) -> dict[str, Agent]:
    return {row.agent: row for row in rows_of(VIEW, AGENTS, run)}


def engagement(*run: Happened) -> Engagement:
    (row,) = rows_of(VIEW, ENGAGEMENTS, run)
    return row


def test_an_agent_is_known_by_its_registration_and_changed_by_the_next() -> None:
    row = agents(REGISTERED)["tester-1"]
    assert (row.role, row.capabilities, row.max_concurrent, row.in_flight) == ("tester", ("python",), 2, 0)
    again = happened("registry", AgentRegistered("tester-1", "architect", 5), name="main")
    row = agents(REGISTERED, CHOSEN, again)["tester-1"]
    assert (row.role, row.capabilities, row.max_concurrent, row.in_flight) == ("architect", (), 5, 1)


def test_an_agent_is_engaged_by_the_registry_and_released_by_it() -> None:
    run = (REGISTERED, CHOSEN, ASSIGNED)
    assert agents(*run)["tester-1"].in_flight == 1
    assert (engagement(*run).chosen, engagement(*run).open) == (True, True)
    row = agents(*run, RELEASED)["tester-1"]
    assert (row.in_flight, row.done, row.failed) == (0, 0, 1)
    assert not engagement(*run, RELEASED).open
    assert agents(*run, RELEASED, RELEASED)["tester-1"].failed == 1


def test_a_delivery_does_not_end_what_the_registry_chose() -> None:
    row = agents(REGISTERED, CHOSEN, ASSIGNED, happened("tester", RoleDelivered("completed", "green")))["tester-1"]
    assert (row.in_flight, row.done) == (1, 0)


def test_a_role_taken_up_without_the_registry_ends_with_its_delivery() -> None:
    run = (ASSIGNED, happened("tester", RoleDelivered("completed", "green")))
    assert agents(*run[:1])["tester-1"].in_flight == 1
    row = agents(*run)["tester-1"]
    assert (row.in_flight, row.done, row.max_concurrent) == (0, 1, 0)
    # Nobody takes it up again: what is closed stays closed.
    assert agents(*run, ASSIGNED)["tester-1"].in_flight == 0


def test_the_orchestrator_is_busy_until_the_company_has_finished() -> None:
    run = (
        happened("orchestrator", RoleAssigned("review", "o-1")),
        happened("orchestrator", RoleDelivered("completed", "prepared")),
    )
    assert agents(*run)["o-1"].in_flight == 1
    row = agents(*run, happened("orchestrator", CompanyFinished("completed")))["o-1"]
    assert (row.in_flight, row.done) == (0, 1)


def test_whoever_had_a_role_that_another_is_chosen_for_is_rid_of_it() -> None:
    other = happened("registry", AgentChosen("tester", "t1", "tester-2", 1.0), name="main")
    found = agents(REGISTERED, CHOSEN, other)
    assert {name: (row.in_flight, row.done + row.failed) for name, row in found.items()} == {
        "tester-1": (0, 0), "tester-2": (1, 0),
    }  # fmt: skip
    assert agents(REGISTERED, CHOSEN, CHOSEN)["tester-1"].in_flight == 1


def test_tool_calls_count_for_the_agent_that_has_the_role() -> None:
    called = happened("tools", ToolCalled("tester", "r", "tests.run", "review"), second=5)
    row = agents(REGISTERED, CHOSEN, called)["tester-1"]
    assert (row.tool_calls, row.position) == (1, 3)
    assert agents(REGISTERED, called)["tester-1"].tool_calls == 0


def test_an_agent_was_last_seen_at_the_last_event_of_its_work() -> None:
    asked = happened("tester", QuestionAsked(2), second=7)
    row = agents(REGISTERED, CHOSEN, ASSIGNED, asked, happened("architect", QuestionAsked(2), second=8))["tester-1"]
    assert (row.position, row.at) == (4, asked.recorded().at)


def test_work_takes_the_time_from_engagement_to_end() -> None:
    row = agents(REGISTERED, CHOSEN, ASSIGNED, RELEASED)["tester-1"]
    assert (row.busy_seconds, row.failed) == (8.0, 1)
    early = happened("registry", AgentReleased("tester", "t1", "tester-1", "failed"), name="main", second=0)
    assert agents(REGISTERED, CHOSEN, early)["tester-1"].busy_seconds == 0.0, "clocks may disagree"


def test_completions_errors_and_cost_count_for_the_agent_that_has_the_role() -> None:
    given = CompletionGiven("tester", 1, "ef", tokens_in=70, tokens_out=7, cost_micros=40, priced=True)
    row = agents(
        REGISTERED,
        CHOSEN,
        happened("router", given),
        happened("router", replace(given, turn=2, priced=False)),
        happened("router", replace(given, role="architect")),
        happened("router", CompletionFailed("tester", 3, "no answer")),
        happened("tools", ToolReturned("tools/t1@1", "tester", "tests.run", "failed", "red")),
        happened("tools", ToolReturned("tools/t1@2", "tester", "tests.run", "ok", "green")),
    )["tester-1"]
    assert (row.completions, row.tokens_in, row.tokens_out) == (2, 140, 14)
    assert (row.priced, row.cost_micros, row.errors) == (1, 40, 2)


def test_requests_wait_until_an_agent_is_chosen_or_they_are_withdrawn() -> None:
    def waiting(*events: Event) -> int:
        run = [happened("registry", event, name="main") for event in events]
        return sum(row.waiting for row in rows_of(VIEW, QUEUES, run))

    first, second = ChoiceQueued("tester", "t1"), ChoiceQueued("tester", "t2")
    assert waiting(first, second) == waiting(first, first, second) == 2
    assert waiting(first, second, AgentChosen("tester", "t2", "tester-1", 1.0)) == 1
    assert waiting(first, second, ChoiceWithdrawn("tester", "t1"), ChoiceWithdrawn("tester", "t1")) == 1
    assert waiting(first, AgentChosen("tester", "t9", "tester-1", 1.0)) == 1, "it had never waited"
    assert waiting(first, ChoiceWithdrawn("tester", "t1"), first) == 1


def broke(second: int, task: str = "t1") -> Happened:
    return happened("runtime", CommandQuarantined("tester", task, "c9", "role.assign.v1", ""), "7", second)


def goes_on(second: int, task: str = "t1", made: type[ActorRetried | ActorDropped] = ActorRetried) -> Happened:
    return happened("runtime", made("tester", task, "c9"), "7", second)


@pytest.mark.parametrize("made", [ActorRetried, ActorDropped], ids=["retried", "dropped"])
def test_an_agent_is_unavailable_while_a_role_it_is_at_work_on_is_parked(
    made: type[ActorRetried | ActorDropped],
) -> None:
    row = agents(REGISTERED, CHOSEN, broke(3), broke(4))["tester-1"]
    assert (row.parked, row.unavailable_seconds, row.unavailable_since) == (1, 0.0, BEGIN + timedelta(seconds=3))
    row = agents(REGISTERED, CHOSEN, broke(3), goes_on(5, made=made), goes_on(6, made=made))["tester-1"]
    assert (row.parked, row.unavailable_seconds, row.unavailable_since) == (0, 2.0, None)
    assert row.known_since == BEGIN


def test_two_parked_roles_make_it_unavailable_once() -> None:
    also = happened("registry", AgentChosen("tester", "t2", "tester-1", 1.0), name="main", second=1)
    run = (REGISTERED, CHOSEN, also, broke(2), broke(3, "t2"), goes_on(5))
    row = agents(*run)["tester-1"]
    assert (row.parked, row.unavailable_since) == (1, BEGIN + timedelta(seconds=2))
    assert agents(*run, goes_on(9, "t2"))["tester-1"].unavailable_seconds == 7.0


def test_what_is_parked_after_its_work_does_not_count_and_the_end_of_work_ends_it() -> None:
    row = agents(REGISTERED, CHOSEN, broke(3), RELEASED, goes_on(20))["tester-1"]
    assert (row.parked, row.unavailable_seconds, row.unavailable_since) == (0, 6.0, None)
    row = agents(REGISTERED, CHOSEN, RELEASED, broke(20))["tester-1"]
    assert (row.parked, row.unavailable_since) == (0, None)
    other = happened("registry", AgentChosen("tester", "t1", "tester-2", 1.0), name="main", second=4)
    assert agents(REGISTERED, CHOSEN, broke(3), other)["tester-1"].unavailable_seconds == 1.0


def test_the_runs_of_the_tests_use_every_type_it_declares() -> None:
    used = {tag_of(each.event) for each in (*small_run(), *troubled_run())}
    assert {tag_of(cls) for cls in TYPES} <= used
