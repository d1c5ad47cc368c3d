"""Any moment of a finished run, replayed and changed on a laptop, with the commands a user has."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.kit import repositories
from tests.kit.command_line import Troupe
from tests.kit.long_mode import LONG

Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Troupe, dict[str, Any], Events]]:
    """A company whose one task is done, what it came to, and its log."""
    base = tmp_path_factory.mktemp("forked")
    troupe = Troupe(base / "state")
    repo = repositories.python_without_tests(base / "repo")
    done = troupe.answer("run", "look at this", "--repo", str(repo), "--report", str(base / "report"))
    yield troupe, done, troupe.replay()
    if (troupe.state / "servers.json").exists():
        troupe.stop_servers()


def middle(events: Events, part: float) -> int:
    """A position about there that lies between two commands."""
    start = int(len(events) * part)
    return next(n for n in range(start, len(events)) if events[n - 1]["causation"] != events[n]["causation"])


def histories(events: Events) -> dict[str, list[tuple[Any, ...]]]:
    """Each actor's events: what was said, and why."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for each in events:
        stream = found.setdefault(f"{each['kind']}/{each['id']}", [])
        stream.append((each["version"], each["type"], each["causation"], each["body"]))
    return found


def until_concluded(troupe: Troupe, name: str) -> Events:
    with troupe.started("replay", "--schema", name, "--follow") as following:
        following.wait_for("task.concluded.v1", "stdout")
    return troupe.replay("--schema", name)


def effects_ended(troupe: Troupe, name: str) -> list[str]:
    log = troupe.state / "companies" / name / "logs" / "company.log"
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    return [line["ended"] for line in lines if line["event"] == "effects.ended"]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9] if LONG else [0.5])
def test_a_fork_comes_to_the_same_conclusion_and_performs_nothing(
    finished: tuple[Troupe, dict[str, Any], Events], part: float
) -> None:
    troupe, done, events = finished
    position = middle(events, part)
    made = troupe.run("fork", "--at", str(position))
    name = f"troupe_at_{position}"
    assert (made.returncode, made.stdout) == (0, f"{name}\n")
    assert f"`troupe replay --schema {name}`" in made.stderr
    assert "lies between the events" not in made.stderr
    assert troupe.replay("--schema", name) == events[:position]
    with troupe.started("fork", "--at", str(position), "--open") as company:
        company.wait_for(f"{name} is there already, and is taken as it is")
        company.wait_for("Ready")
        again = until_concluded(troupe, name)
        task = troupe.answer("task", "show", done["task"], "--schema", name)["task"]
        company.process.terminate()
        assert company.finish()[0] == 130
    assert (task["status"], task["verdict"], task["summary"]) == (done["status"], done["verdict"], done["summary"])
    assert histories(again) == histories(events), "it went another way"
    ended = effects_ended(troupe, name)
    assert ended
    assert set(ended) == {"recorded"}
    assert troupe.replay() == events
    assert troupe.run("fork", "drop", name).returncode == 0


def test_the_code_that_ran_a_company_decides_all_of_it_the_same(
    finished: tuple[Troupe, dict[str, Any], Events],
) -> None:
    troupe, _, events = finished
    answer = troupe.answer("fork", "--compare")
    assert (answer["differing"], answer["events"], answer["last"]) == (0, len(events), len(events))
    assert answer["not_compared"] == {}
    assert answer["compared"] >= len({(each["kind"], each["id"], each["causation"]) for each in events})


def test_the_original_and_its_fork_run_side_by_side(finished: tuple[Troupe, dict[str, Any], Events]) -> None:
    troupe, _, events = finished
    position = len(events)
    made = troupe.answer("fork", "--at", str(position), "--name", "what_if")
    assert (made["name"], made["origin"], made["position"], made["live"]) == ("what_if", "troupe", position, False)
    with troupe.started("dev") as original, troupe.started("dev", "--schema", "what_if") as fork:
        original.wait_for("Ready")
        fork.wait_for("Ready")
        second = troupe.run("dev", "--schema", "what_if")
        assert second.returncode == 4
        assert str(troupe.state / "companies" / "what_if") in second.stderr
        submitted = troupe.answer("task", "submit", "only here", "--id", "changed", "--schema", "what_if")
        assert submitted == {"task": "changed"}
        tasks = [row["task"] for row in troupe.answer("task", "list", "--schema", "what_if")]
        assert "changed" in tasks
        assert "changed" not in [row["task"] for row in troupe.answer("task", "list")]
        # A fork that is not live touches nothing: what it has no record of is said to be so.
        with troupe.started("replay", "--schema", "what_if", "--task", "changed", "--follow") as following:
            said = following.wait_for("nothing is recorded for this work", "stdout")
        assert json.loads(said)["position"] > position
        assert troupe.replay() == events
        refused = troupe.run("fork", "drop", "what_if")
        assert refused.returncode == 1
        assert "somebody is running on the fork 'what_if'" in refused.stderr
    (listed,) = troupe.answer("fork", "list")
    assert listed["name"] == "what_if"
    assert listed["resumed_at"] is not None


def test_forks_that_cannot_be(finished: tuple[Troupe, dict[str, Any], Events]) -> None:
    troupe, _, events = finished
    for arguments, code, words in (
        (("fork", "--at", str(len(events) + 1)), 2, f"choose a position from 0 to {len(events)}"),
        (("fork", "--at", "1", "--name", "Big"), 2, "must be lower-case"),
        (("fork", "--at", "1", "--name", "troupe"), 2, "something called 'troupe' already"),
        (("fork", "drop", "nowhere"), 3, "no fork called 'nowhere'"),
        (("fork", "drop", "troupe"), 1, "from within"),
        (("replay", "--schema", "nowhere"), 2, "no log called 'nowhere'"),
        (("fork",), 2, "--at"),
        (("fork", "--at", "x"), 2, "--at"),
    ):
        ended = troupe.run(*arguments)
        assert (ended.returncode, ended.stdout) == (code, ""), (arguments, ended.stderr)
        assert words in ended.stderr
        assert ended.stderr.count("\n") == 1


def test_a_position_between_the_events_of_one_command_is_remarked(
    finished: tuple[Troupe, dict[str, Any], Events], tmp_path: Path
) -> None:
    troupe, _, events = finished
    inside = next(
        n
        for n in range(1, len(events))
        if events[n - 1]["causation"] == events[n]["causation"] and events[n - 1]["kind"] == events[n]["kind"]
    )
    made = troupe.run("fork", "--at", str(inside), "--name", "inside")
    assert made.returncode == 0
    assert f"Position {inside} lies between the events of one command ({events[inside]['causation']})" in made.stderr
    assert troupe.replay("--schema", "inside") == events[:inside]
    assert troupe.run("fork", "drop", "inside").returncode == 0
