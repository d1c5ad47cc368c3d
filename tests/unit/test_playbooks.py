"""The thirteen playbooks load, fit the catalogue, and every kind of mistake in one is named by file and field."""

import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from actors.roles.playbook import HOUSE_RULES, ROLES, Playbook, PlaybookError, file_of, load_playbooks
from actors.services.tools.catalogue import CATALOGUE
from actors.services.tools.composing.rules import parse_rules


@pytest.fixture(scope="module")
def playbooks() -> dict[str, Playbook]:
    return load_playbooks(tools=CATALOGUE)


def all_needs(playbooks: dict[str, Playbook], role: str) -> set[str]:
    direct = set(playbooks[role].needs)
    return direct.union(*(all_needs(playbooks, need) for need in direct))


def test_there_is_one_for_each_of_the_thirteen_roles(playbooks: dict[str, Playbook]) -> None:
    assert tuple(playbooks) == ROLES
    assert len(ROLES) == 13


def test_the_tiers_hold_the_roles_they_should(playbooks: dict[str, Playbook]) -> None:
    tiers = {tier: {r for r, book in playbooks.items() if book.tier == tier} for tier in ("technical", "communication")}
    assert tiers["technical"] == {"architect", "developer", "code-reviewer", "tester"}
    assert tiers["communication"] == {"documenter", "marketer", "presenter"}
    operations = {role for role, book in playbooks.items() if book.tier == "operations"}
    assert operations == {"devops", "monitor", "security"}
    management = {role for role, book in playbooks.items() if book.tier == "management"}
    assert management == {"project-manager", "decision-maker", "orchestrator"}


def test_every_tool_of_the_catalogue_is_called_by_exactly_one_role(playbooks: dict[str, Playbook]) -> None:
    called = [step.tool for book in playbooks.values() for step in book.steps]
    assert sorted(called) == sorted(CATALOGUE)


def test_a_role_waits_for_whoever_runs_the_tools_its_own_build_on(playbooks: dict[str, Playbook]) -> None:
    runs = {step.tool: role for role, book in playbooks.items() for step in book.steps}
    for role, book in playbooks.items():
        waited_for = all_needs(playbooks, role) | {role}
        for step in book.steps:
            needed = {runs[tool] for tool in CATALOGUE[step.tool].needs if tool != "*"}
            assert needed <= waited_for, f"{role} calls {step.tool} without waiting for {needed - waited_for}"


def test_everybody_waits_for_the_orchestrator_and_the_verdict_for_everybody(playbooks: dict[str, Playbook]) -> None:
    assert playbooks["orchestrator"].needs == ()
    assert all("orchestrator" in book.needs for role, book in playbooks.items() if role != "orchestrator")
    assert all_needs(playbooks, "decision-maker") == set(ROLES) - {"decision-maker"}


def test_every_system_text_says_how_to_cite(playbooks: dict[str, Playbook]) -> None:
    for book in playbooks.values():
        assert book.system.endswith(HOUSE_RULES)
        assert book.system.startswith("You are the ")
    assert "12 [tools/t1@3]" in HOUSE_RULES


def test_the_release_rules_are_well_formed(playbooks: dict[str, Playbook]) -> None:
    (step,) = playbooks["decision-maker"].steps
    rules = {rule.id: rule.severity for rule in parse_rules(step.args["rules"])}
    assert {rule for rule, severity in rules.items() if severity == "block"} == {
        "nothing-to-release",
        "tests-failing",
        "critical-finding",
        "secret-found",
        "licence-missing",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the playbooks that a test may break."""
    for role in ROLES:
        target = tmp_path / file_of(role)
        target.parent.mkdir(parents=True)
        shutil.copyfile(str(files("actors.roles").joinpath(file_of(role))), target)
    return tmp_path


TESTER = "tester/playbook.toml"


@pytest.mark.parametrize(
    ("file", "old", "new", "field", "part"),
    [
        (TESTER, 'tool = "tests.run"', 'tool = "tests.walk"', "steps[0].tool", "tests.walk"),
        (TESTER, '[[steps]]\ntool = "tests.run"\n', "", "steps", "required"),
        (TESTER, '[[steps]]\ntool = "tests.run"\n', "steps = []\n", "steps", "0 steps"),
        (TESTER, "[[steps]]", '[[steps]]\ntool = "tests.run"\n\n[[steps]]', "steps[1].tool", "earlier step"),
        (TESTER, 'role = "tester"', 'role = "jester"', "role", "jester"),
        (TESTER, 'role = "tester"', 'role = "architect"', "role", "belongs to"),
        (TESTER, 'tier = "technical"', 'tier = "upper"', "tier", "upper"),
        (TESTER, "version = 1", "version = 0", "version", "count from 1"),
        (TESTER, "version = 1", 'version = "1"', "version", "int"),
        (TESTER, "version = 1", "version = 1\nmood = 2", "mood", "unknown"),
        (TESTER, 'report_title = "Test run"', 'report_title = " "', "report_title", "empty"),
        (TESTER, 'needs = ["orchestrator"]', 'needs = ["orchestrator", "orchestrator"]', "needs[1]", "twice"),
        (TESTER, 'needs = ["orchestrator"]', 'needs = ["boss"]', "needs[0]", "boss"),
        (TESTER, 'needs = ["orchestrator"]', 'needs = ["decision-maker"]', "needs", "none can start"),
        (TESTER, 'needs = ["orchestrator"]', 'needs = ["tester"]', "needs", "tester"),
        (TESTER, 'capabilities = ["test-execution"', 'capabilities = [""', "capabilities[0]", "empty"),
        (TESTER, 'tool = "tests.run"', 'tol = "tests.run"', "steps[0].tol", "unknown"),
        (TESTER, "version = 1", "version = ", "file", "not TOML"),
        ("decision_maker/playbook.toml", 'tool = "verdict.decide"', 'tool = "decide"', "steps[0].tool", "decide"),
    ],
)
def test_a_mistake_is_named_by_file_and_field(
    folder: Path, file: str, old: str, new: str, field: str, part: str
) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(PlaybookError) as caught:
        load_playbooks(folder, tools=CATALOGUE)
    assert caught.value.field == field
    assert part in str(caught.value)
    assert caught.value.file in str(caught.value)


def test_a_missing_playbook_is_named(folder: Path) -> None:
    (folder / TESTER).unlink()
    with pytest.raises(PlaybookError, match="every role needs a playbook") as caught:
        load_playbooks(folder)
    assert caught.value.file == TESTER
