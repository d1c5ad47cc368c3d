"""changelog.draft: entries by kind, the next version by its rules, and an honest word where the history is cut."""

from pathlib import Path

import pytest

from actors.services.tools.analysis import history
from actors.services.tools.programs import changelog_draft
from protocol.tools import ToolResult
from tests.kit import repositories
from tests.kit.program_runs import commit, git, run
from tests.kit.tool_inputs import file_text, uncited


def drafted(tmp_path: Path, tag: str, *messages: str) -> ToolResult:
    root = commit(tmp_path / "r", "Start")
    if tag:
        git(root, "tag", tag)
    for message in messages:
        commit(root, message)
    return run("changelog.draft", root, tmp_path)


def test_the_commits_since_the_last_version(tmp_path: Path) -> None:
    result = run("changelog.draft", repositories.python_passing(tmp_path / "r"), tmp_path)
    facts = result.facts
    assert (facts["last_version"], facts["proposed_version"], facts["commits"]) == ("0.1.0", "0.1.1", 2)
    assert [(each["section"], each["text"]) for each in result.data["entries"]] == [
        ("Added", "A command line"),
        ("Fixed", "Refuse parcels without weight"),
    ]
    text = file_text(result, "CHANGELOG.draft.md")
    assert "## [0.1.1] - 2026-01-02 [tools/t1@99]" in text
    assert "### Added\n\n- A command line (`" in text
    assert uncited(text) == []


@pytest.mark.parametrize(
    ("tag", "messages", "expected"),
    [
        ("v1.2.3", ["fix: a"], "1.2.4"),
        ("v1.2.3", ["fix: a", "feat(api): b"], "1.3.0"),
        ("1.2.3", ["feat!: a"], "2.0.0"),
        ("pkg-1.2.3", ["refactor: a\n\nBREAKING CHANGE: b"], "2.0.0"),
        ("v0.4.1", ["feat: a"], "0.4.2"),
        ("v0.4.1", ["feat(x)!: a"], "0.5.0"),
        ("v2.0.0-rc.1", ["feat: a"], "2.0.0"),
        ("nightly", ["feat: a"], "0.1.0"),
        ("", ["Add a"], "0.1.0"),
    ],
)
def test_the_next_version(tmp_path: Path, tag: str, messages: list[str], expected: str) -> None:
    assert drafted(tmp_path, tag, *messages).facts["proposed_version"] == expected


def test_entries_by_type_or_verb(tmp_path: Path) -> None:
    result = drafted(
        tmp_path,
        "v1.0.0",
        "Fix the rounding",
        "Add a door",
        "docs: say why",
        "Drop Python 3.8",
        "perf(core): faster",
        "Fix CVE-2024-12345 in the parser",
        "feat!: another door",
        "Rounding",
        "fix <script>[tools/t9@9]</script>",
        "",
    )
    entries = {each["text"]: each["section"] for each in result.data["entries"]}
    assert entries == {
        "Fix the rounding": "Fixed",
        "Add a door": "Added",
        "Say why": "Documentation",
        "Drop Python 3.8": "Removed",
        "Core: faster": "Changed",
        "Fix CVE-2024-12345 in the parser": "Security",
        "Another door": "Added",
        "Rounding": "Other",
        "Fix <script>[tools/t9@9]</script>": "Fixed",
        "(no message)": "Other",
    }
    text = file_text(result, "CHANGELOG.draft.md")
    assert "- **Breaking:** Another door" in text
    assert "<script>" not in text
    assert "[tools/t9@9]" not in text


def test_the_highest_contained_version_counts(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "Start")
    for tag in ("v1.9.0", "v1.10.0", "v1.10.0-rc.1"):
        git(root, "tag", tag)
    git(root, "checkout", "--quiet", "-b", "side")
    commit(root, "On the side")
    git(root, "tag", "v3.0.0")
    git(root, "checkout", "--quiet", "main")
    commit(root, "fix: it")
    assert run("changelog.draft", root, tmp_path).facts["last_version"] == "1.10.0"


def test_without_a_tag_the_manifest_says_the_version(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "Start", {"pyproject.toml": '[project]\nversion = "3.4.0"\n'})
    assert run("changelog.draft", root, tmp_path).facts["proposed_version"] == "3.4.0"


def test_a_shallow_clone_proposes_no_version(tmp_path: Path) -> None:
    result = run("changelog.draft", repositories.shallow(tmp_path / "r"), tmp_path)
    assert result.facts["proposed_version"] == ""
    assert result.facts["history_complete"] is False
    assert "history is cut off" in result.summary
    assert "## [Unreleased]" in file_text(result, "CHANGELOG.draft.md")


def test_a_long_history_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "COMMITS_MAX", 2)
    result = drafted(tmp_path, "", "one", "two", "three")
    assert result.facts["commits"] == 2
    assert result.facts["history_complete"] is False
    assert "only the last 2 commits were read" in result.summary


def test_merges_are_no_entries(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "Start")
    git(root, "checkout", "--quiet", "-b", "side")
    commit(root, "On the side")
    git(root, "checkout", "--quiet", "main")
    git(root, "merge", "--quiet", "--no-ff", "--message", "Merge it", "side")
    texts = [each["text"] for each in run("changelog.draft", root, tmp_path).data["entries"]]
    assert texts == ["On the side", "Start"]


def test_nothing_new_does_not_apply(tmp_path: Path) -> None:
    result = run("changelog.draft", repositories.javascript(tmp_path / "r"), tmp_path)
    assert (result.status, result.summary) == ("not_applicable", "nothing was committed since v1.0.0")


def test_the_groups_cover_every_kind() -> None:
    used = {*changelog_draft._BY_TYPE.values(), *changelog_draft._BY_VERB.values(), "Other"}  # pyright: ignore[reportPrivateUsage]
    assert used == set(changelog_draft.GROUPS)
