"""The log again, by the command line: onto a subject, as the state of an actor at a position, as a tree of causes."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.command_line import Troupe

TASK = "seen-again"


@dataclass(frozen=True)
class Done:
    """A running company, and the events of a task that has ended."""

    company: Troupe
    events: list[dict[str, Any]]


@pytest.fixture(scope="module")
def done(company: Troupe) -> Done:
    with company.started("replay", "--follow", "--correlation", TASK, "--type", "task.concluded.v1") as replay:
        body = json.dumps({"type": "task.submit.v1", "title": "look at nothing"})
        assert company.run("pub", f"troupe.cmd.default.task.{TASK}", body).returncode == 0
        replay.wait_for("task.concluded.v1", "stdout")
    return Done(company, company.replay("--correlation", TASK))


def test_a_task_is_published_again_once_under_a_name(done: Done) -> None:
    onto = ("replay", "--to-subject", "troupe.replay.{kind}.{event}", "--correlation", TASK, "--consumer", "audit")
    first = done.company.answer(*onto, "--rate", "100000")
    assert first["handed"] == len(done.events)
    assert first["position"] >= done.events[-1]["position"]
    assert done.company.answer(*onto)["handed"] == 0


def test_a_state_then_and_what_changed_since(done: Done) -> None:
    submitted, concluded = [each["position"] for each in done.events if each["kind"] == "task"]
    state = ("replay", "--state", "task", TASK)
    assert done.company.answer(*state, "--at", str(submitted))["state"]["phase"] == "active"
    changed = done.company.answer(*state, "--diff", str(submitted), str(concluded))
    assert [(each["path"], each["value"]) for each in changed["changes"]] == [("/phase", "concluded")]


def test_a_trace_has_every_event_of_the_task_once(done: Done) -> None:
    trace = done.company.answer("trace", TASK)
    assert sorted(each["event"] for step in trace["steps"] for each in step["events"]) == sorted(
        each["event"] for each in done.events
    )
    assert [step["origin"] for step in trace["steps"] if step["parent"] is None] == ["outside"]
    assert trace["total"]["completions"] > 0
    assert trace["total"]["tool_runs"] == len([each for each in done.events if each["type"] == "tools.called.v1"])
    told = done.company.run("trace", TASK)
    assert told.returncode == 0
    assert told.stdout.count("├") > 0
    assert f"{TASK}: {len(trace['steps'])} commands led to {len(done.events)} events" in told.stdout
