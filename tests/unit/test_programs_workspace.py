"""workspace.prepare clones HEAD and describes it, whatever the repository is, and leaves the repository as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.services.tools.catalogue import CATALOGUE
from actors.services.tools.programs import checkout
from actors.services.tools.programs.git import git
from actors.services.tools.runner import ProgramRunner
from actors.services.tools.sandbox.adapters import Unconfined
from actors.services.tools.sandbox.base import SANDBOX_UID
from actors.services.tools.sandbox.detect import own
from protocol.tools import ToolInput, ToolResult
from tests.kit import repositories
from tests.kit.repositories import tree_hash

SPEC = CATALOGUE["workspace.prepare"]


async def prepare(tmp_path: Path, repo: str | Path, runner: ProgramRunner | None = None) -> ToolResult:
    workspace = tmp_path / "workspace"
    given = ToolInput(SPEC.name, "tools/t1@3", "t1", "T", "2026-01-01T00:00:00Z", str(repo), workspace=str(workspace))
    return await (runner or ProgramRunner()).run(SPEC, given)


async def prepared(tmp_path: Path, repo: Path) -> ToolResult:
    """The result for a repository that must come out as it went in."""
    before = tree_hash(repo)
    result = await prepare(tmp_path, repo)
    assert tree_hash(repo) == before
    return result


def run_git(cwd: Path, *args: str, stdin: str = "") -> None:
    """Git as a user would run it, with the repository's own configuration."""
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_GLOBAL": os.devnull, **identity}
    subprocess.run(["git", *args], cwd=cwd, env=environment, input=stdin.encode(), check=True, capture_output=True)


async def test_a_python_repository_is_described(tmp_path: Path) -> None:
    repo = repositories.python_passing(tmp_path / "repo")
    result = await prepared(tmp_path, repo)
    assert result.status == "ok", result.summary
    assert result.facts["head"] == git(["rev-parse", "HEAD"], repo).line
    expected = {
        "branch": "main",
        "shallow": False,
        "dirty": False,
        "commits": 7,
        "files": 12,
        "primary_language": "Python",
        "licence_file": "LICENSE",
        "has_readme": True,
        "last_tag": "v0.1.0",
        "python": True,
        "javascript": False,
    }
    assert {name: result.facts[name] for name in expected} == expected
    assert result.data["languages"] == {"Python": 7, "Markdown": 2, "TOML": 1}
    source = tmp_path / "workspace/source"
    assert (source / "src/parcels/money.py").read_text() == (repo / "src/parcels/money.py").read_text()


async def test_tools_see_head_and_the_difference_is_named(tmp_path: Path) -> None:
    result = await prepared(tmp_path, repositories.dirty(tmp_path / "repo"))
    assert result.facts["dirty"] is True
    assert result.data["dirty_files"] == ["CHANGELOG.md", "src/parcels/cli.py", "src/parcels/money.py"]
    assert result.data["untracked_files"] == ["notes.txt"]
    source = tmp_path / "workspace/source"
    assert "BROKEN" not in (source / "src/parcels/money.py").read_text()
    assert (source / "src/parcels/cli.py").exists()
    assert not (source / "notes.txt").exists()


async def test_what_git_ignores_is_not_named(tmp_path: Path) -> None:
    repo = repositories.python_passing(tmp_path / "repo")
    (repo / ".venv").mkdir()
    (repo / ".venv/.gitignore").write_text("*\n")
    (repo / "build").mkdir()
    (repo / "build/out").touch()
    (repo / ".git/info").mkdir(exist_ok=True)
    (repo / ".git/info/exclude").write_text("build\n")
    result = await prepared(tmp_path, repo)
    assert result.data["untracked_files"] == []


async def test_a_shallow_clone_stays_shallow(tmp_path: Path) -> None:
    result = await prepared(tmp_path, repositories.shallow(tmp_path / "repo"))
    assert (result.status, result.facts["shallow"], result.facts["commits"]) == ("ok", True, 1)


async def test_one_empty_commit(tmp_path: Path) -> None:
    result = await prepared(tmp_path, repositories.empty_one_commit(tmp_path / "repo"))
    assert (result.status, result.facts["files"], result.facts["primary_language"]) == ("ok", 0, "")


async def test_javascript(tmp_path: Path) -> None:
    result = await prepared(tmp_path, repositories.javascript(tmp_path / "repo"))
    assert result.facts["javascript"] is True
    assert result.facts["primary_language"] == "JavaScript"
    assert result.facts["python"] is False


@pytest.mark.parametrize("name", ["with space", "quo'te\"s", "new\nline", "-dash", "ümlaut", "c:olon", "$(x)", "star*"])
async def test_any_path(name: str, tmp_path: Path) -> None:
    result = await prepared(tmp_path, repositories.javascript(tmp_path / name))
    assert (result.status, result.facts["files"]) == ("ok", 7), result.summary


async def test_a_detached_head_and_a_linked_worktree(tmp_path: Path) -> None:
    repo = repositories.python_passing(tmp_path / "repo")
    run_git(repo, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), "HEAD~2")
    result = await prepared(tmp_path, tmp_path / "linked")
    assert result.status == "ok", result.summary
    assert (result.facts["branch"], result.facts["commits"], result.facts["dirty"]) == ("", 5, False)


async def test_borrowed_objects_are_found(tmp_path: Path) -> None:
    origin = repositories.python_passing(tmp_path / "origin")
    run_git(tmp_path, "clone", "--quiet", "--shared", str(origin), "repo")
    result = await prepared(tmp_path, tmp_path / "repo")
    assert (result.status, result.facts["commits"]) == ("ok", 7), result.summary
    assert not (tmp_path / "workspace/source/.git/objects/info/alternates").exists()


async def test_a_subfolder_stands_for_its_repository(tmp_path: Path) -> None:
    repo = repositories.python_passing(tmp_path / "repo")
    result = await prepared(tmp_path, repo / "src")
    assert (result.status, result.facts["files"]) == ("ok", 12), result.summary


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_a_repository_of_another_user(tmp_path: Path) -> None:
    repo = repositories.python_passing(tmp_path / "repo")
    for path in (repo, *repo.rglob("*")):
        os.chown(path, SANDBOX_UID + 1, SANDBOX_UID + 1, follow_symlinks=False)
        if path.is_dir():
            path.chmod(0o700)
    result = await prepared(tmp_path, repo)
    assert (result.status, result.facts["dirty"]) == ("ok", False), result.summary


async def test_nothing_the_repository_names_is_run(tmp_path: Path) -> None:
    """Hooks, filters and external commands would each leave a mark if they ran, here where nothing confines them."""
    repo = repositories.python_passing(tmp_path / "repo")
    mark = tmp_path / "marks"
    mark.mkdir(mode=0o777)
    mark.chmod(0o777)
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {mark}/$(basename $0)-$$\ncat\n")
    trap.chmod(0o755)
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (repo / ".git/hooks").mkdir(exist_ok=True)
        (repo / ".git/hooks" / hook).write_bytes(trap.read_bytes())
        (repo / ".git/hooks" / hook).chmod(0o755)
    (repo / ".gitattributes").write_text("*.py filter=trap diff=trap\n*.md filter=trap\n")
    run_git(repo, "add", ".gitattributes")
    run_git(repo, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "-m", "attributes")
    for setting in ("filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "diff.trap.textconv"):
        run_git(repo, "config", setting, str(trap))
    for setting in ("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "core.alternateRefsCommand"):
        run_git(repo, "config", setting, str(trap))
    run_git(repo, "config", "uploadpack.packObjectsHook", str(trap))
    (repo / "README.md").write_text("changed\n")
    (repo / "LICENSE").write_text("changed\n")
    for of_the_setting_up in mark.iterdir():
        of_the_setting_up.unlink()
    before = tree_hash(repo)
    result = await prepare(tmp_path, repo, ProgramRunner(Unconfined()))
    assert result.status == "ok", result.summary
    assert list(mark.iterdir()) == []
    assert tree_hash(repo) == before
    assert result.data["dirty_files"] == ["LICENSE"]
    assert result.data["not_compared"] == ["README.md"]


async def test_links_do_not_lead_out_of_the_clone(tmp_path: Path) -> None:
    repo = repositories.from_files(tmp_path / "repo", {"real.py": "x = 1\n"})
    (repo / "passwd").symlink_to("/etc/passwd")
    (repo / "folder").symlink_to("/etc")
    (repo / "alias.py").symlink_to("real.py")
    run_git(repo, "add", "--all")
    run_git(repo, "commit", "--quiet", "-m", "links")
    result = await prepared(tmp_path, repo)
    source = tmp_path / "workspace/source"
    assert not [path for path in source.rglob("*") if path.is_symlink()]
    assert result.data["links"] == ["alias.py", "folder", "passwd"]
    assert result.facts["dirty"] is False
    assert [file.path for file in checkout.text_files(source)] == ["real.py"]


async def test_a_second_run_reuses_the_clone_and_mends_a_broken_one(tmp_path: Path) -> None:
    repo = repositories.javascript(tmp_path / "repo")
    first = await prepared(tmp_path, repo)
    second = await prepared(tmp_path, repo)
    assert (first.facts["reused"], second.facts["reused"]) == (False, True)
    assert first.facts["head"] == second.facts["head"]
    (tmp_path / "workspace/source/package.json").unlink()
    third = await prepared(tmp_path, repo)
    assert third.facts["reused"] is False
    assert (tmp_path / "workspace/source/package.json").exists()


async def test_a_clone_that_a_crash_cut_short_is_made_again(tmp_path: Path) -> None:
    repo = repositories.javascript(tmp_path / "repo")
    partial = tmp_path / "workspace/source.partial/.git"
    partial.mkdir(parents=True)
    (partial / "HEAD").write_text("ref: refs/heads/ma")
    for path in (partial.parent, partial, partial / "HEAD"):
        own(path)
    result = await prepared(tmp_path, repo)
    assert (result.status, result.facts["files"]) == ("ok", 7), result.summary
    assert not partial.parent.exists()


async def test_what_is_no_repository_is_said(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    run_git(fresh, "init", "--quiet")
    said = [await prepare(tmp_path, repo) for repo in ("", tmp_path / "nowhere", plain, fresh)]
    assert {result.status for result in said} == {"could_not_run"}
    assert said[0].summary == "the task names no repository"
    assert "there is no folder" in said[1].summary
    assert "is not a git repository" in said[2].summary
    assert "has no commits" in said[3].summary


async def test_a_damaged_repository_is_a_failure(tmp_path: Path) -> None:
    repo = repositories.javascript(tmp_path / "repo")
    blob = git(["rev-parse", "HEAD:package.json"], repo).line
    damaged = repo / ".git/objects" / blob[:2] / blob[2:]
    damaged.unlink()
    result = await prepare(tmp_path, repo)
    assert result.status == "failed"
    assert "could not be cloned" in result.summary
    assert not (tmp_path / "workspace/source").exists()


def test_names_that_are_not_unicode_can_be_reported(tmp_path: Path) -> None:
    repo = repositories.from_files(tmp_path / "repo", {"a.txt": "text"})
    (Path(os.fsdecode(os.fsencode(repo) + b"/caf\xe9.txt"))).write_text("text")
    assert [file.path for file in checkout.text_files(repo)] == ["a.txt", "caf\ufffd.txt"]
    assert sys.getfilesystemencoding() == "utf-8"


def test_reading_one_file_stays_inside(tmp_path: Path) -> None:
    repo = repositories.from_files(tmp_path / "repo", {"a.txt": "text", "b.bin": "\0"})
    (tmp_path / "secret").write_text("secret")
    (repo / "link").symlink_to(tmp_path / "secret")
    assert checkout.read_text(repo, "a.txt") == "text"
    for name in ("../secret", "link", "b.bin", "none", "", str(tmp_path / "secret")):
        assert checkout.read_text(repo, name) is None
    assert checkout.read_text(repo, "a.txt", bytes_max=3) is None
