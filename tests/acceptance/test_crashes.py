"""Whatever is killed or stopped in the middle of a demo: the same command finishes the same task, nothing twice."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from protocol.role import ROLES
from tests.kit import repositories
from tests.kit.command_line import Command, Troupe

QUIET_S = 1.5  # With NATS frozen and no new event for this long, everything that was under way has come to its end.
QUIET_WITHIN_S = 60.0

Events = Sequence[dict[str, Any]]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repositories.python_passing(tmp_path / "repo")


def _in_the_middle(demo: Command) -> None:
    """Wait until a role has delivered: its tool calls are committed, and most roles are still to come."""
    demo.wait_for("completed in")


def check_finished(done: dict[str, Any], before: Events, after: Events) -> None:
    """The run went on where the log ended: what was committed stands, and no tool call or return is there twice."""
    assert done["status"] == "completed"
    assert {role["status"] for role in done["roles"].values()} == {"completed"}
    assert after[: len(before)] == before
    assert [each["position"] for each in after] == list(range(1, len(after) + 1))
    assert Counter(each["type"] for each in after)["task.submitted.v1"] == 1
    asked = Counter((each["body"]["role"], each["body"]["request"]) for each in _of("tools.called.v1", after))
    returned = Counter(each["body"]["call"] for each in _of("tools.returned.v1", after))
    assert len(asked) == sum(role["tool_calls"] for role in done["roles"].values())
    assert set(asked.values()) == {1}
    assert returned.keys() == {each["event"] for each in _of("tools.called.v1", after)}
    assert set(returned.values()) == {1}


def _of(tag: str, events: Events) -> Events:
    return [each for each in events if each["type"] == tag]


@pytest.mark.parametrize("servers", ["survive", "are killed too"])
def test_a_killed_company_is_taken_up_by_the_same_command(servers: str, troupe: Troupe, repo: Path) -> None:
    with troupe.started("demo", str(repo)) as demo:
        _in_the_middle(demo)
        demo.kill()
    if servers == "are killed too":
        troupe.stop_servers()
    before = troupe.replay()
    assert _of("tools.returned.v1", before)
    assert not _of("task.concluded.v1", before)
    done = troupe.answer("demo", str(repo))
    assert done["task"] == before[0]["id"]
    check_finished(done, before, troupe.replay())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_what_it_started_and_goes_on_later(
    number: signal.Signals, troupe: Troupe, repo: Path
) -> None:
    with troupe.started("demo", str(repo)) as demo:
        _in_the_middle(demo)
        demo.process.send_signal(number)
        code, out, _ = demo.finish()
    assert (code, out) == (130, "")
    assert not [pid for pid in troupe.server_pids().values() if _alive(pid)]
    before = troupe.replay()
    assert troupe.answer("task", "list")[0]["status"] == "active"
    done = troupe.answer("demo", str(repo))
    assert done["task"] == before[0]["id"]
    check_finished(done, before, troupe.replay())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_without_nats_the_run_stands_still_and_with_it_goes_on(troupe: Troupe, repo: Path) -> None:
    with troupe.started("demo", str(repo), "--json") as demo:
        _in_the_middle(demo)
        nats = troupe.server_pids()["nats"]
        os.kill(nats, signal.SIGSTOP)
        try:
            before = _wait_until_quiet(troupe)
            assert not _of("task.concluded.v1", before)
            assert len(_of("role.delivered.v1", before)) < len(ROLES)
            assert demo.process.poll() is None
        finally:
            os.kill(nats, signal.SIGCONT)
        code, out, err = demo.finish()
    assert code == 0, err
    check_finished(_json(out), before, troupe.replay())


def test_a_nats_server_that_died_is_started_again_under_the_run(troupe: Troupe, repo: Path) -> None:
    with troupe.started("demo", str(repo), "--json") as demo:
        _in_the_middle(demo)
        os.kill(troupe.server_pids()["nats"], signal.SIGKILL)
        code, out, err = demo.finish()
    assert code == 0, err
    check_finished(_json(out), [], troupe.replay())


def test_a_postgresql_that_died_is_started_again_under_the_run(troupe: Troupe, repo: Path) -> None:
    with troupe.started("demo", str(repo), "--json") as demo:
        _in_the_middle(demo)
        os.kill(troupe.server_pids()["postgres"], signal.SIGKILL)
        code, out, err = demo.finish()
    assert code == 0, err
    check_finished(_json(out), [], troupe.replay())


def _wait_until_quiet(troupe: Troupe) -> Events:
    """The log once nothing was added for QUIET_S: there is no signal for something that does not happen."""
    ends = time.monotonic() + QUIET_WITHIN_S
    before: Events = troupe.replay()
    while time.monotonic() < ends:
        time.sleep(QUIET_S)
        after = troupe.replay("--from", str(len(before) + 1))
        if not after:
            return before
        before = [*before, *after]
    raise AssertionError(f"the log still grew after {QUIET_WITHIN_S} s without NATS")


def _json(out: str) -> dict[str, Any]:
    return json.loads(out)
