"""Memory: what was said, by whom, about what; newest first, never a task's own words."""

import pytest

from actors.runtime.kind import Send
from actors.services.memory.core import MEMORIES_MAX
from actors.services.memory.effects import KIND
from protocol.memory import (
    NAME_LENGTH_MAX,
    RECALL_LIMIT_MAX,
    SUBJECT_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    Memory,
    Recall,
    Recalled,
    Remember,
    Remembered,
)
from protocol.role import RecordRecall
from tests.kit.scenario import Scenario, silent

NEW = Scenario.of(KIND, "main")


def memory(n: int, subject: str = "/srv/repo", role: str = "tester", task: str = "t0") -> Memory:
    return Memory(subject, role, task, f"text {n}")


def test_a_sentence_is_kept_once() -> None:
    kept = NEW.when(Remember("/srv/repo", "tester", "t0", "text 1")).then(Remembered(memory(1))).follows()
    silent(kept, Remember("/srv/repo", "tester", "t0", "text 1"))


def test_a_long_text_is_cut() -> None:
    NEW.when(Remember("s", "tester", "t0", "x" * 9_000)).then(
        Remembered(Memory("s", "tester", "t0", "x" * TEXT_LENGTH_MAX))
    )


def test_sealed_text_is_kept_whole_and_once() -> None:
    text = f"sealed:v1:{'a' * 32}:{'A' * 2 * TEXT_LENGTH_MAX}"
    kept = NEW.when(Remember("s", "tester", "t0", text, "p1")).then(Remembered(Memory("s", "tester", "t0", text, "p1")))
    silent(kept, Remember("s", "tester", "t0", text, "p1"))
    kept.when(Recall("s", "tester", "t1")).follows(Send("tester", "t1", RecordRecall((text,))))


def test_a_recall_brings_the_newest_of_that_role_and_subject_and_tells_who_asked() -> None:
    known = NEW.given(
        *(Remembered(memory(n)) for n in (1, 2, 3)),
        Remembered(memory(4, subject="/other")),
        Remembered(memory(5, role="architect")),
        Remembered(memory(6, task="t1")),
    )
    known.when(Recall("/srv/repo", "tester", "t1", 2)).then(
        Recalled("/srv/repo", "tester", "t1", (memory(3), memory(2)))
    ).follows(Send("tester", "t1", RecordRecall(("text 3", "text 2"))))


def test_nothing_known_is_an_answer_too() -> None:
    NEW.when(Recall("/srv/repo", "tester", "t1")).then(Recalled("/srv/repo", "tester", "t1")).follows(
        Send("tester", "t1", RecordRecall())
    )


@pytest.mark.parametrize("limit", [-1, 0, RECALL_LIMIT_MAX + 1])
def test_a_recall_is_bounded(limit: int) -> None:
    NEW.when(Recall("s", "tester", "t1", limit)).refused("bad-limit", str(RECALL_LIMIT_MAX))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Remember("", "tester", "t0", "x"), "empty"),
        (Remember("s", "tester", "t0", ""), "empty"),
        (Remember("s" * (SUBJECT_LENGTH_MAX + 1), "tester", "t0", "x"), "too-long"),
        (Remember("s", "r" * (NAME_LENGTH_MAX + 1), "t0", "x"), "too-long"),
        (Remember("s", "tester", "t" * (NAME_LENGTH_MAX + 1), "x"), "too-long"),
    ],
)
def test_a_memory_without_sense_or_measure_is_refused(command: Remember, code: str) -> None:
    NEW.when(command).refused(code)


def test_only_the_newest_are_kept() -> None:
    full = NEW.given(*(Remembered(memory(n)) for n in range(MEMORIES_MAX)))
    after = full.when(Remember("/srv/repo", "tester", "t0", "one more"))
    assert len(after.state.memories) == MEMORIES_MAX
    assert after.state.memories[0] == memory(1)
    assert after.state.memories[-1].text == "one more"


def test_only_remembering_comes_from_outside() -> None:
    assert KIND.external == (Remember,)
