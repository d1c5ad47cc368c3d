"""lint.fix: two commits on a branch of the clone, and a patch that gives exactly them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.services.tools.programs import lint_fix
from protocol.tools import ToolResult
from tests.kit import repositories
from tests.kit.program_runs import commit, found, git, run


def patched(source: Path, result: ToolResult, folder: Path) -> str:
    """The tree that HEAD becomes when a person applies the patch."""
    clone = folder / "applied"
    git(folder, "clone", "--quiet", str(source), str(clone))
    (folder / "developer.patch").write_bytes(result.files[0].content)
    git(clone, "am", "--quiet", "--keep-cr", str(folder / "developer.patch"))
    return git(clone, "rev-parse", "HEAD^{tree}")


def test_fixes_and_formatting_are_two_commits(tmp_path: Path) -> None:
    source = repositories.python_passing(tmp_path / "r")
    head = git(source, "rev-parse", "HEAD")
    result = run("lint.fix", source, tmp_path)
    assert result.status == "ok"
    assert git(source, "log", "--format=%s", f"{head}..troupe/lint-fixes").splitlines() == [
        lint_fix.FORMAT_SUBJECT,
        lint_fix.LINT_SUBJECT,
    ]
    assert result.facts["fixes_applied"] == 4
    assert result.facts["remaining_problems"] == 0
    assert (result.facts["files_changed"], result.facts["insertions"], result.facts["deletions"]) == (2, 2, 4)
    assert result.facts["patch_applies"] is True
    assert git(source, "rev-parse", "HEAD") == head
    assert git(source, "status", "--porcelain") == ""


def test_the_patch_gives_the_branch(tmp_path: Path) -> None:
    source = repositories.python_passing(tmp_path / "r")
    result = run("lint.fix", source, tmp_path)
    assert patched(source, result, tmp_path) == git(source, "rev-parse", "troupe/lint-fixes^{tree}")


def test_a_second_run_finds_the_first_one_and_does_the_same(tmp_path: Path) -> None:
    source = repositories.python_passing(tmp_path / "r")
    first = run("lint.fix", source, tmp_path)
    developer = tmp_path / "workspace" / "developer"
    (developer / "half-done.py").write_text("x=1")
    (developer / "src/parcels/rates.py").write_text("")
    lock = source / ".git/refs/heads/troupe/lint-fixes.lock"
    lock.write_text("")
    assert run("lint.fix", source, tmp_path) == first
    assert run("lint.fix", source, tmp_path / "elsewhere") == first


def test_a_worktree_without_its_administration_is_replaced(tmp_path: Path) -> None:
    source = repositories.python_passing(tmp_path / "r")
    developer = tmp_path / "workspace" / "developer"
    developer.mkdir(parents=True)
    (developer / "junk").write_text("left behind")
    assert run("lint.fix", source, tmp_path).status == "ok"
    assert not (developer / "junk").exists()


def test_the_repository_settings_are_used(tmp_path: Path) -> None:
    source = commit(
        tmp_path / "r",
        "all",
        {
            "ruff.toml": 'line-length = 40\nunsafe-fixes = true\nfix-only = true\n[lint]\nselect = ["F401", "T20"]\n'
            '[format]\nquote-style = "single"\n',
            "a.py": 'import os\n\nprint("hello", "a long line", "that is wrapped")\n',
        },
    )
    result = run("lint.fix", source, tmp_path)
    assert result.facts["settings"] == "repository"
    text = git(source, "show", "troupe/lint-fixes:a.py")
    assert text.startswith("print(\n    'hello'")  # the fix of F401 is safe, that of T20 is not
    assert [(each.rule, each.line, each.severity) for each in result.findings] == [("T201", 1, "low")]


def test_settings_above_the_checkout_are_not_the_repositorys(tmp_path: Path) -> None:
    (tmp_path / "ruff.toml").write_text("line-length = 20\n")
    source = commit(tmp_path / "r", "all", {"a.py": "value = function(argument, other)\n"})
    result = run("lint.fix", source, tmp_path)
    assert result.facts["settings"] == "defaults"
    assert result.files == ()


def test_settings_that_do_not_work_are_said_and_replaced(tmp_path: Path) -> None:
    files = {"ruff.toml": 'extend = "../../outside.toml"\n', "a.py": "import os\n"}
    result = run("lint.fix", commit(tmp_path / "r", "all", files), tmp_path)
    assert result.status == "ok"
    assert result.facts["settings"] == "defaults"
    assert "settings do not work" in result.summary
    assert result.facts["fixes_applied"] == 1


def test_defaults_keep_the_oldest_python_and_blacks_line_length(tmp_path: Path) -> None:
    long = "value = function_of_some_length(argument_number_one, argument_number_two, argument_number_three_)\n"
    project = '[project]\nname = "x"\nrequires-python = ">=3.8"\n[tool.black]\nline-length = 120\n'
    result = run("lint.fix", commit(tmp_path / "r", "all", {"pyproject.toml": project, "a.py": long}), tmp_path)
    assert result.files == ()


def test_a_file_that_does_not_parse_stays_and_is_reported(tmp_path: Path) -> None:
    files = {"bad.py": "def f(:\n", "good.py": "import os\nx = { 1:2 }\n"}
    source = commit(tmp_path / "r", "all", files)
    result = run("lint.fix", source, tmp_path)
    assert result.facts["formatted_all"] is False
    assert found(result, "syntax")[0].path == "bad.py"
    assert found(result, "syntax")[0].severity == "medium"
    assert git(source, "show", "troupe/lint-fixes:bad.py") == "def f(:"
    assert git(source, "show", "troupe/lint-fixes:good.py") == "x = {1: 2}"


def test_line_ends_links_and_foreign_letters_survive(tmp_path: Path) -> None:
    source = tmp_path / "r"
    files = {
        "dos.py": b"import os\r\nx = { 1:2 }\r\n",
        "sub/\u00fcber name.py": "import os\nx=1\n",
        ".gitattributes": "*.py filter=evil diff=evil\n",
    }
    commit(source, "all", files)
    (source / "link.py").symlink_to("dos.py")
    commit(source, "a link")
    ran = tmp_path / "ran"
    for direction in ("clean", "smudge"):
        git(source, "config", f"filter.evil.{direction}", f"touch '{ran}'; cat")
    git(source, "config", "filter.evil.required", "true")
    git(source, "config", "core.symlinks", "false")
    result = run("lint.fix", source, tmp_path)
    assert result.status == "ok"
    assert result.facts["patch_applies"] is True
    assert not ran.exists()
    assert git(source, "show", "troupe/lint-fixes:dos.py") == "x = {1: 2}\r"
    assert git(source, "show", "troupe/lint-fixes:link.py") == "dos.py"
    assert git(source, "show", "troupe/lint-fixes:sub/\u00fcber name.py") == "x = 1"


def test_too_large_a_patch_is_offered_without_formatting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = commit(tmp_path / "r", "all", {"a.py": "import os\n", "b.py": "x = { 1:2 }\n" * 200})
    monkeypatch.setattr(lint_fix, "PATCH_BYTES_MAX", 2_000)
    result = run("lint.fix", source, tmp_path)
    assert result.status == "ok"
    assert result.facts["patch_complete"] is False
    assert result.facts["patch_applies"] is True
    assert result.facts["commits"] == 1
    assert b"Format the code" not in result.files[0].content
    assert "leaves out the formatting commit" in result.summary
    monkeypatch.setattr(lint_fix, "PATCH_BYTES_MAX", 10)
    assert run("lint.fix", source, tmp_path).files == ()


def test_a_huge_file_does_not_cost_the_others_their_fixes(tmp_path: Path) -> None:
    huge = "import os\n" + "x=1\n" * 300_000
    source = repositories.from_files(tmp_path / "r", {"a.py": "import os\n", "huge.py": huge, "notes.txt": huge})
    result = run("lint.fix", source, tmp_path)
    assert (result.status, result.facts["fixes_applied"], result.facts["files_too_large"]) == ("ok", 1, 1)
    assert "1 file above 1 MB not looked at" in result.summary
    assert git(source, "diff", "--name-only", "HEAD", "troupe/lint-fixes") == "a.py"


def test_branch_names_of_the_repository_are_respected(tmp_path: Path) -> None:
    source = repositories.python_passing(tmp_path / "r")
    git(source, "branch", "troupe")
    assert run("lint.fix", source, tmp_path).facts["branch"] == "troupe-lint-fixes"


def test_a_clean_repository_has_an_empty_patch(tmp_path: Path) -> None:
    result = run("lint.fix", commit(tmp_path / "r", "all", {"a.py": "x = 1\n"}), tmp_path)
    assert (result.status, result.files, result.facts["commits"]) == ("ok", (), 0)
    assert "nothing to change" in result.summary


@pytest.mark.parametrize("build", [repositories.javascript, repositories.empty_one_commit])
def test_without_python_it_does_not_apply(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    result = run("lint.fix", build(tmp_path / "r"), tmp_path)
    assert result.status == "not_applicable"
    assert "no Python files" in result.summary


def test_a_shallow_clone_is_enough(tmp_path: Path) -> None:
    assert run("lint.fix", repositories.shallow(tmp_path / "r"), tmp_path).facts["patch_applies"] is True
