"""The demo on seven repositories: every role delivers, every number is cited, the repository stays as it was."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from actors.cli.evidence import citations
from actors.services.tools.sandbox.detect import detect
from protocol.role import ROLES
from tests.kit import repositories
from tests.kit.command_line import Troupe

NODE_MISSING = shutil.which("node") is None or shutil.which("npm") is None

_CAUSE = re.compile(r"(\S+@[0-9]+)\.[0-9]+(?::outcome)?")  # A reaction to an event, or the outcome of its effect.
# The verdict on each repository, and rules that were hit.
EXPECTED = {
    "python_passing": ("go-with-remarks", {"advisories-unreachable"}),
    "python_failing": ("no-go", {"advisories-unreachable", "tests-failing"}),
    "python_without_tests": ("no-go", {"changelog-missing", "licence-missing", "no-tests"}),
    "javascript": ("hold", {"tests-not-run"}) if NODE_MISSING else ("go-with-remarks", set[str]()),
    "empty_one_commit": ("no-go", {"nothing-to-release", "licence-missing", "readme-missing"}),
    "shallow": ("go-with-remarks", {"advisories-unreachable", "history-cut-off"}),
    "dirty": ("go-with-remarks", {"advisories-unreachable", "uncommitted-changes"}),
}


@pytest.fixture(autouse=True)
async def sandbox() -> None:
    """Foreign tests only run in a sandbox that works here, and verdicts follow from them."""
    if (await detect()).kind == "none":
        pytest.skip("no sandbox works on this machine")


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_role_delivers_and_the_verdict_fits_the_repository(name: str, company: Troupe, tmp_path: Path) -> None:
    repo: Path = getattr(repositories, name)(tmp_path / name)
    before = repositories.tree_hash(repo)
    done = company.answer("demo", str(repo), "--report", str(tmp_path / "report"))
    assert repositories.tree_hash(repo) == before
    assert done["status"] == "completed"
    assert list(done["roles"]) == list(ROLES)
    for role in done["roles"].values():
        assert role["status"] == "completed"
        assert role["tool_calls"] >= 1
        assert role["artifacts"] >= 1
        assert role["seconds"] >= 0
    verdict, hit = EXPECTED[name]
    assert done["verdict"] == verdict
    assert all(rule in done["summary"] for rule in hit)
    _check_report(done, tmp_path / "report")
    _check_citations(done, company)


def _check_report(done: dict[str, Any], folder: Path) -> None:
    """The folder holds exactly the artifacts, with their hashes, an index and a summary."""
    assert done["report"] == str(folder)
    assert len(done["artifacts"]) >= 12
    assert {each["role"] for each in done["artifacts"]} == set(ROLES)
    for each in done["artifacts"]:
        assert hashlib.sha256((folder / each["path"]).read_bytes()).hexdigest() == each["sha256"]
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {each["path"] for each in done["artifacts"]} | {"REPORT.md", "summary.json"}
    assert json.loads((folder / "summary.json").read_text())["verdict"] == done["verdict"]


def _check_citations(done: dict[str, Any], company: Troupe) -> None:
    """What a role's text cites is a tool call of this task; the replay shows the whole run, in order."""
    events = company.replay("--task", done["task"])
    assert len(events) == done["events"]
    assert [each["position"] for each in events] == sorted(each["position"] for each in events)
    calls = {each["event"] for each in events if each["type"] == "tools.called.v1"}
    assert len(calls) == sum(role["tool_calls"] for role in done["roles"].values())
    folder = Path(done["report"])
    for each in done["artifacts"]:
        if each["path"].endswith(".md"):
            cited = citations((folder / each["path"]).read_text())
            assert cited, f"{each['path']} cites nothing"
            assert set(cited) <= calls, each["path"]
    every = {each["event"] for each in events}
    assert set(citations((folder / "REPORT.md").read_text())) <= every
    assert "no such event" not in (folder / "REPORT.md").read_text()


def test_the_causes_of_every_event_lead_back_to_the_submission(company: Troupe, tmp_path: Path) -> None:
    """No role calls another's function: what it does is caused by an event, at last by that of the orchestrator."""
    repo = repositories.empty_one_commit(tmp_path / "repo")
    done = company.answer("run", "look at this", "--repo", str(repo), "--report", str(tmp_path / "report"))
    events = company.replay("--task", done["task"])
    seen: set[str] = set()
    for number, each in enumerate(events):
        cause = _CAUSE.fullmatch(each["causation"])
        assert (cause is None) == (number == 0), each
        assert cause is None or cause[1] in seen, each
        seen.add(each["event"])
    assert events[0]["type"] == "task.submitted.v1"
    starts = {each["kind"]: each["causation"] for each in events if each["type"] == "role.assigned.v1"}
    assert starts.keys() == set(ROLES)
    assert all(cause.startswith("orchestrator/") for role, cause in starts.items() if role != "orchestrator")
