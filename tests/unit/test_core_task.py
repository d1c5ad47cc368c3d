"""A task: submitted once, concluded once."""

import pytest

from actors.runtime.kind import Send
from actors.services.task.effects import KIND, ORCHESTRATOR_AGENT
from protocol.personal import ERASED
from protocol.role import AssignRole
from protocol.task import (
    REPO_LENGTH_MAX,
    TITLE_LENGTH_MAX,
    ConcludeTask,
    SubmitTask,
    TaskConcluded,
    TaskSubmitted,
)
from tests.kit.scenario import Scenario, silent

NEW = Scenario.of(KIND)
ACTIVE = NEW.given(TaskSubmitted("review", "/srv/repo"))


def test_a_submitted_task_goes_to_its_orchestrator() -> None:
    NEW.when(SubmitTask("review", "/srv/repo")).then(TaskSubmitted("review", "/srv/repo")).follows(
        Send("orchestrator", "t1", AssignRole("review", ORCHESTRATOR_AGENT, "/srv/repo"))
    )


def test_the_same_submission_again_is_silent_and_another_is_refused() -> None:
    silent(ACTIVE, SubmitTask("review", "/srv/repo"))
    ACTIVE.when(SubmitTask("review")).refused("exists", "t1", "another id")
    ACTIVE.when(SubmitTask("other", "/srv/repo")).refused("exists", "'review'")


def test_a_task_keeps_whom_it_concerns_as_it_was_sealed() -> None:
    """Sealed under one key two contacts differ visibly; under two, or erased, a repetition stays one."""
    mine, other, later = (f"sealed:v1:{key * 32}:{data * 40}" for key, data in (("a", "A"), ("a", "B"), ("b", "A")))
    concerned = NEW.when(SubmitTask("greet", "", "p1", mine)).then(TaskSubmitted("greet", "", "p1", mine))
    silent(concerned, *(SubmitTask("greet", "", "p1", contact) for contact in (mine, later, ERASED)))
    for another in (SubmitTask("greet", "", "p1", other), SubmitTask("greet", "", "p1"), SubmitTask("greet")):
        concerned.when(another).refused("exists", "another id")
    assert mine not in repr(concerned.followed), "nobody else is told"


def test_a_task_is_concluded_once() -> None:
    concluded = ACTIVE.when(ConcludeTask("completed", "go", "fine")).then(TaskConcluded("completed", "go", "fine"))
    concluded.follows()
    silent(concluded, ConcludeTask("failed"), SubmitTask("review", "/srv/repo"))
    silent(NEW, ConcludeTask("failed"))


@pytest.mark.parametrize("title", ["", "  \n", "x" * (TITLE_LENGTH_MAX + 1)])
def test_a_task_needs_a_title(title: str) -> None:
    NEW.when(SubmitTask(title)).refused("bad-title", str(TITLE_LENGTH_MAX))


@pytest.mark.parametrize("repo", ["repo", "./repo", "https://example.org/x", "/" + "x" * REPO_LENGTH_MAX])
def test_a_repository_is_an_absolute_path(repo: str) -> None:
    NEW.when(SubmitTask("review", repo)).refused("bad-repo")


def test_only_a_submission_comes_from_outside_and_a_task_correlates() -> None:
    assert KIND.external == (SubmitTask,)
    assert KIND.correlates
