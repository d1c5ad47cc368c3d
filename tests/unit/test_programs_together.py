"""All programs in the order of the playbooks on real repositories: each kind gets a verdict that can be told apart."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.roles.playbook import load_playbooks
from actors.services.tools.catalogue import CATALOGUE
from protocol.tools import Prior, ToolInput, ToolResult
from tests.kit import repositories
from tests.kit.tool_inputs import file_text, result, uncited

# bandit calls stevedore in a way that stevedore has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The verify_requirements argument:DeprecationWarning")

PLAYBOOKS = load_playbooks(tools=CATALOGUE)
STEPS = {step.tool: step.args for book in PLAYBOOKS.values() for step in book.steps}
UNREACHED = {
    "advisories.lookup": result("could_not_run", "advisories unreachable"),
    "run.health": result("ok", "the run is healthy"),
}
KINDS: tuple[Callable[[Path], Path], ...] = (
    repositories.python_passing,
    repositories.python_failing,
    repositories.python_without_tests,
    repositories.javascript,
    repositories.typescript,
    repositories.empty_one_commit,
    repositories.shallow,
    repositories.dirty,
)


def review(repository: Path, folder: Path) -> dict[str, Prior]:
    """Every tool's result, in the catalogue's order, which is an order the playbooks allow."""
    workspace = folder / "workspace"
    workspace.mkdir(parents=True)
    done: dict[str, Prior] = {}
    for number, spec in enumerate(CATALOGUE.values(), start=1):
        scratch = folder / f"scratch-{number}"
        scratch.mkdir()
        call = f"tools/t1@{number}"
        needed = done if "*" in spec.needs else {name: done[name] for name in spec.needs}
        given = ToolInput(
            spec.name,
            call,
            "t1",
            "review this repository for release",
            "2026-01-02T03:04:05Z",
            repo=str(repository),
            source=str(workspace / "source"),
            workspace=str(workspace),
            scratch=str(scratch),
            args=STEPS[spec.name],
            prior=dict(needed),
        )
        done[spec.name] = Prior(call, UNREACHED[spec.name] if spec.access == "host" else run(given))
    return done


def run(given: ToolInput) -> ToolResult:
    module = importlib.import_module(f"actors.services.tools.programs.{given.tool.replace('.', '_')}")
    program: Callable[[ToolInput], ToolResult] = module.run
    return program(given)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Prior]]:
    """The results of all eight kinds, by the kind's name."""
    made: dict[str, dict[str, Prior]] = {}
    for build in KINDS:
        folder = tmp_path_factory.mktemp(build.__name__)
        made[build.__name__] = review(build(folder / "repository"), folder)
    return made


def verdict(done: dict[str, Prior]) -> tuple[str, frozenset[str]]:
    facts = done["verdict.decide"].result.facts
    return str(facts["verdict"]), frozenset(str(facts["hit"]).split(","))


def test_no_program_fails_on_any_kind(reviews: dict[str, dict[str, Prior]]) -> None:
    failed = {
        (kind, name, each.result.summary)
        for kind, done in reviews.items()
        for name, each in done.items()
        if each.result.status == "failed"
    }
    assert failed == set()


def test_the_verdicts_can_be_told_apart(reviews: dict[str, dict[str, Prior]]) -> None:
    assert len({verdict(done) for done in reviews.values()}) == len(KINDS)


@pytest.mark.parametrize(
    ("kind", "expected", "hit"),
    [
        ("python_passing", "go-with-remarks", "advisories-unreachable"),
        ("python_failing", "no-go", "tests-failing"),
        ("python_without_tests", "no-go", "no-tests"),
        ("empty_one_commit", "no-go", "nothing-to-release"),
        ("shallow", "go-with-remarks", "history-cut-off"),
        ("dirty", "go-with-remarks", "uncommitted-changes"),
    ],
)
def test_each_kind_gets_the_verdict_it_deserves(
    reviews: dict[str, dict[str, Prior]], kind: str, expected: str, hit: str
) -> None:
    decided, hits = verdict(reviews[kind])
    assert hit in hits
    assert decided == expected


def test_javascript_is_judged_by_whether_node_is_here(reviews: dict[str, dict[str, Prior]]) -> None:
    decided, hits = verdict(reviews["javascript"])
    ran = reviews["javascript"]["tests.run"].result.status == "ok"
    assert decided == ("go-with-remarks" if ran else "hold")
    assert ("tests-not-run" in hits) == (not ran)
    assert "not-linted" in hits
    assert ("own-checks-not-run" in hits) == (not ran)


def test_typescript_is_judged_by_its_own_checks_where_node_is_here(reviews: dict[str, dict[str, Prior]]) -> None:
    decided, hits = verdict(reviews["typescript"])
    ran = reviews["typescript"]["scripts.check"].result.status == "ok"
    assert decided == "hold"
    assert ("own-checks-failing" in hits) == ran
    assert ("not-linted" in hits) == (not ran)


def test_every_citation_is_of_a_call_that_was_made(reviews: dict[str, dict[str, Prior]]) -> None:
    for done in reviews.values():
        calls = {each.call for each in done.values()}
        for each in done.values():
            for file in each.result.files:
                cited = set(re.findall(r"\[(tools/[^\]]+)\]", file.content.decode()))
                assert cited <= calls, f"{file.path} cites {cited - calls}"


def test_the_composed_pages_cite_every_number(reviews: dict[str, dict[str, Prior]]) -> None:
    for done in reviews.values():
        for tool, path in (("status.report", "status.md"), ("verdict.decide", "verdict.md")):
            assert uncited(file_text(done[tool].result, path)) == []
        note = done["release.note"].result
        if note.status == "ok":
            assert uncited(file_text(note, "release-note.md")) == []


def test_the_release_note_tells_the_changes_of_the_draft(reviews: dict[str, dict[str, Prior]]) -> None:
    page = file_text(reviews["python_passing"]["release.note"].result, "release-note.md")
    cite = f"[{reviews['python_passing']['changelog.draft'].call}]"
    assert f"## Added\n\n- A command line {cite}\n" in page
    assert f"## Fixed\n\n- Refuse parcels without weight {cite}\n" in page


def test_the_drafts_for_deployment_are_valid(reviews: dict[str, dict[str, Prior]]) -> None:
    drafts = [done["deploy.draft"].result for done in reviews.values()]
    assert [draft.facts["valid"] for draft in drafts if draft.status == "ok"] == [True] * 6
