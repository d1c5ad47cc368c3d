"""The router: one question at a time for each role, each answered once, the conversation as a chain of blobs."""

import pytest

from actors.runtime.kind import Effect, Send
from actors.services.router.core import TURNS_MAX
from actors.services.router.effects import KIND
from protocol.message import Event
from protocol.role import RecordCompletion, ToolRequest
from protocol.router import (
    Complete,
    CompletionAsked,
    CompletionFailed,
    CompletionGiven,
    CompletionWork,
    RecordAnswer,
    ResultAdded,
    TextAdded,
)
from tests.kit.scenario import Scenario, silent

ADDS = (TextAdded("a brief"),)
MORE = (ResultAdded("r1", "tests.run", "tools/t1@3", "ab" * 32),)
CALLS = (ToolRequest("r1", "tests.run", {"depth": 1}),)
NEW = Scenario.of(KIND)
ASKED = NEW.given(CompletionAsked("tester", 1, ADDS, "tester@1"))
GIVEN = ASKED.given(CompletionGiven("tester", 1, "blob-1", CALLS))


def test_a_question_becomes_an_effect() -> None:
    NEW.when(Complete("tester", 1, ADDS, "tester@1")).then(CompletionAsked("tester", 1, ADDS, "tester@1")).follows(
        Effect("completion", CompletionWork("tester", 1, ADDS, "tester@1"), "repeatable")
    )


def test_an_answer_goes_back_to_the_role() -> None:
    answer = RecordAnswer("tester", 1, "blob-1", CALLS, "blob-t", 7, "offline", "script", 12, 3, "by a script")
    ASKED.when(answer).then(
        CompletionGiven("tester", 1, "blob-1", CALLS, "blob-t", 7, "offline", "script", 12, 3, "by a script")
    ).follows(Send("tester", "t1", RecordCompletion(1, CALLS, "blob-t", 7, "by a script")))


def test_what_it_took_is_told_also_of_a_failure() -> None:
    ASKED.when(RecordAnswer("tester", 1, "blob-1", CALLS, seconds=1.5)).then(
        CompletionGiven("tester", 1, "blob-1", CALLS, seconds=1.5)
    )
    ASKED.when(RecordAnswer("tester", 1, error="no luck", provider="p", model="m", seconds=0.5)).then(
        CompletionFailed("tester", 1, "no luck", "p", "m", 0.5)
    )


def test_the_next_question_goes_on_where_the_conversation_ends() -> None:
    GIVEN.when(Complete("tester", 2, MORE, "tester@1")).then(CompletionAsked("tester", 2, MORE, "tester@1")).follows(
        Effect("completion", CompletionWork("tester", 2, MORE, "tester@1", "blob-1"), "repeatable")
    )


def test_a_failure_is_told_and_leaves_the_conversation_as_it_was() -> None:
    asked = GIVEN.given(CompletionAsked("tester", 2, MORE, "tester@1"))
    failed = asked.when(RecordAnswer("tester", 2, error="no luck")).then(CompletionFailed("tester", 2, "no luck"))
    failed.follows(Send("tester", "t1", RecordCompletion(2, error="no luck")))
    (effect,) = failed.when(Complete("tester", 3, MORE, "tester@1")).followed
    assert isinstance(effect, Effect)
    assert effect.work == CompletionWork("tester", 3, MORE, "tester@1", "blob-1")


def test_repetitions_are_silent() -> None:
    silent(ASKED, Complete("tester", 1, ADDS, "tester@1"))
    silent(GIVEN, Complete("tester", 1, ADDS, "tester@1"), RecordAnswer("tester", 1, "blob-2"))
    silent(GIVEN, RecordAnswer("tester", 2, "nobody asked"), RecordAnswer("architect", 1, "nobody asked"))


def test_roles_have_sessions_of_their_own() -> None:
    GIVEN.when(Complete("architect", 1, ADDS, "architect@1")).follows(
        Effect("completion", CompletionWork("architect", 1, ADDS, "architect@1"), "repeatable")
    )


def test_a_session_that_runs_in_a_circle_is_stopped() -> None:
    last: list[Event] = [CompletionAsked("tester", TURNS_MAX, ADDS, "tester@1")]
    NEW.given(*last).when(Complete("tester", TURNS_MAX + 1, ADDS, "tester@1")).refused("too-many-turns", "tester")


@pytest.mark.parametrize("command", [Complete, RecordAnswer])
def test_nothing_comes_from_outside(command: type) -> None:
    assert not issubclass(command, KIND.external)
