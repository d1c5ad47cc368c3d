"""The demo on eight repositories: every role delivers, every number is cited, the repository stays as it was."""

import re
import shutil
from pathlib import Path

import pytest

from actors.services.tools.sandbox.detect import detect
from protocol.role import ROLES
from tests.kit import repositories
from tests.kit.command_line import Troupe
from tests.kit.finished_run import check_citations, check_report

NODE_MISSING = shutil.which("node") is None or shutil.which("npm") is None

_CAUSE = re.compile(r"(\S+@[0-9]+)\.[0-9]+(?::outcome)?")  # A reaction to an event, or the outcome of its effect.
# The verdict on each repository, and rules that were hit.
EXPECTED = {
    "python_passing": ("go-with-remarks", {"advisories-unreachable"}),
    "python_failing": ("no-go", {"advisories-unreachable", "tests-failing"}),
    "python_without_tests": ("no-go", {"changelog-missing", "licence-missing", "no-tests"}),
    "javascript": ("hold", {"tests-not-run"}) if NODE_MISSING else ("go-with-remarks", set[str]()),
    "typescript": ("hold", {"tests-not-run"} if NODE_MISSING else {"own-checks-failing"}),
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
    check_report(done, tmp_path / "report")
    check_citations(done, company)


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
