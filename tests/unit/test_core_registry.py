"""The registry: who is free, who is best, who waits, and that nobody waits for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.kind import Send
from actors.services.registry.core import CONCURRENT_DEFAULT, State
from actors.services.registry.effects import KIND
from protocol.message import Command
from protocol.orchestrator import RecordAssignment
from protocol.registry import (
    AgentChosen,
    AgentRegistered,
    AgentReleased,
    ChoiceQueued,
    ChoiceWithdrawn,
    ChooseAgent,
    RegisterAgent,
    ReleaseAgent,
)
from tests.kit.scenario import Scenario, silent

NEW = Scenario.of(KIND, "main")
ONE = NEW.given(AgentRegistered("ada", "tester", 1))


def test_a_role_nobody_registered_gets_its_standard_agent() -> None:
    NEW.when(ChooseAgent("tester", "t1")).then(
        AgentRegistered("tester-1", "tester", CONCURRENT_DEFAULT), AgentChosen("tester", "t1", "tester-1", 1.0)
    ).follows(Send("orchestrator", "t1", RecordAssignment("tester", "tester-1")))


def test_a_choice_is_made_once() -> None:
    chosen = ONE.given(AgentChosen("tester", "t1", "ada", 1.0))
    silent(chosen, ChooseAgent("tester", "t1"))
    queued = chosen.when(ChooseAgent("tester", "t2")).then(ChoiceQueued("tester", "t2")).follows()
    silent(queued, ChooseAgent("tester", "t2"))


def test_the_best_is_chosen_by_success_over_load() -> None:
    two = NEW.given(AgentRegistered("ada", "tester", 2), AgentRegistered("bob", "tester", 4))
    busy = two.given(AgentChosen("tester", "a", "ada", 1.0), AgentChosen("tester", "b", "bob", 1.0))
    # ada: 1/(1 + 1/2) = 0.666667, bob: 1/(1 + 1/4) = 0.8
    busy.when(ChooseAgent("tester", "c")).then(AgentChosen("tester", "c", "bob", 0.8))
    failed = busy.given(AgentReleased("tester", "b", "bob", "failed"), AgentReleased("tester", "a", "ada", "completed"))
    failed.when(ChooseAgent("tester", "c")).then(AgentChosen("tester", "c", "ada", 1.0))
    # ada: one of two → 0.5; bob: none of one → 0
    mixed = failed.given(AgentChosen("tester", "c", "ada", 1.0), AgentReleased("tester", "c", "ada", "failed"))
    mixed.when(ChooseAgent("tester", "d")).then(AgentChosen("tester", "d", "ada", 0.5))


def test_an_agent_of_another_role_is_never_chosen() -> None:
    ONE.when(ChooseAgent("architect", "t1")).then_kinds(AgentRegistered, AgentChosen)


def test_a_release_frees_the_agent_for_who_has_waited_longest() -> None:
    waiting = ONE.given(
        AgentChosen("tester", "t1", "ada", 1.0), ChoiceQueued("tester", "t2"), ChoiceQueued("tester", "t3")
    )
    waiting.when(ReleaseAgent("tester", "t1", "completed")).then(
        AgentReleased("tester", "t1", "ada", "completed"), AgentChosen("tester", "t2", "ada", 1.0)
    ).follows(Send("orchestrator", "t2", RecordAssignment("tester", "ada")))


def test_a_release_of_nothing_is_silent() -> None:
    silent(ONE, ReleaseAgent("tester", "t1", "completed"))
    done = ONE.given(AgentChosen("tester", "t1", "ada", 1.0), AgentReleased("tester", "t1", "ada", "completed"))
    silent(done, ReleaseAgent("tester", "t1", "failed"))


def test_a_task_that_ends_while_it_waits_takes_its_request_back() -> None:
    waiting = ONE.given(AgentChosen("tester", "t1", "ada", 1.0), ChoiceQueued("tester", "t2"))
    gone = waiting.when(ReleaseAgent("tester", "t2", "failed")).then(ChoiceWithdrawn("tester", "t2")).follows()
    gone.when(ReleaseAgent("tester", "t1", "completed")).then(AgentReleased("tester", "t1", "ada", "completed"))


def test_a_new_agent_takes_as_many_as_wait_and_it_has_room_for() -> None:
    waiting = ONE.given(
        AgentChosen("tester", "t1", "ada", 1.0), *(ChoiceQueued("tester", f"t{n}") for n in range(2, 6))
    )
    waiting.when(RegisterAgent("bob", "tester", 3)).then(
        AgentRegistered("bob", "tester", 3),
        AgentChosen("tester", "t2", "bob", 1.0),
        AgentChosen("tester", "t3", "bob", 0.75),
        AgentChosen("tester", "t4", "bob", 0.6),
    )


def test_registering_again_changes_limits_and_keeps_the_record() -> None:
    known = ONE.given(AgentChosen("tester", "t1", "ada", 1.0), AgentReleased("tester", "t1", "ada", "failed"))
    silent(known, RegisterAgent("ada", "tester", 1))
    more = known.when(RegisterAgent("ada", "tester", 5, ("python",)))
    more.then(AgentRegistered("ada", "tester", 5, ("python",)))
    more.when(ChooseAgent("tester", "t2")).then(AgentChosen("tester", "t2", "ada", 0.0))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (RegisterAgent("ada", "architect", 1), "taken"),
        (RegisterAgent("eve", "king", 1), "unknown-role"),
        (RegisterAgent("eve", "tester", 0), "bad-limit"),
        (RegisterAgent("e v e", "tester", 1), "bad-name"),
    ],
)
def test_a_registration_that_makes_no_sense_is_refused(command: RegisterAgent, code: str) -> None:
    ONE.when(command).refused(code)


TASKS = st.sampled_from(["t1", "t2", "t3", "t4"])
AGENTS = st.sampled_from(["ada", "bob"])
COMMANDS = st.one_of(
    st.builds(ChooseAgent, st.just("tester"), TASKS),
    st.builds(ReleaseAgent, st.just("tester"), TASKS, st.sampled_from(["completed", "failed"])),
    st.builds(RegisterAgent, AGENTS, st.just("tester"), st.integers(1, 3)),
)


@given(st.lists(COMMANDS, max_size=25))
def test_nobody_waits_while_an_agent_has_room_and_nobody_has_two(commands: list[Command]) -> None:
    now = NEW
    for command in commands:
        before: State = now.state
        now = now.when(command)
        state: State = now.state
        held = [task for agent in state.agents.values() for task in agent.tasks]
        assert len(held) == len(set(held)), "one agent a role and task"
        assert not set(held) & {task for _, task in state.queue}
        assert not state.queue or all(len(a.tasks) >= a.max_concurrent for a in state.agents.values())
        assert all(
            len(a.tasks) <= max(a.max_concurrent, len(before.agents[name].tasks) if name in before.agents else 0)
            for name, a in state.agents.items()
        ), "a lowered limit takes nobody's work away, and nothing is added beyond it"
