"""workspace.prepare: an isolated clone of the repository at HEAD, and what kind of repository it is.

The clone is made through git's own transport (no shared or linked objects), without hooks, filters, submodules or the
repository's configuration, under a name of its own that becomes `source` only when it is complete: after a crash the
next run starts again or finds it finished. The user's repository is only read, and not by commands that could write
its index or run its filters: its working files are compared with HEAD through the clone's metadata and an index of our
own.

Links are checked out as plain files that hold their target, so nothing in `source` leads out of it.
"""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from actors.services.tools.programs import checkout, working_tree
from actors.services.tools.programs.git import GitError, git
from protocol.tools import Fact, ToolInput, ToolResult

CLONE_TIMEOUT_S = 240.0
LINKS_MAX = 50  # named in the result

_CLONED = "source"
_LANGUAGES = {
    "Python": (".py", ".pyi"),
    "JavaScript": (".js", ".mjs", ".cjs", ".jsx"),
    "TypeScript": (".ts", ".mts", ".cts", ".tsx"),
    "Go": (".go",),
    "Rust": (".rs",),
    "Java": (".java",),
    "Kotlin": (".kt", ".kts"),
    "C": (".c", ".h"),
    "C++": (".cc", ".cpp", ".cxx", ".hh", ".hpp"),
    "C#": (".cs",),
    "Ruby": (".rb",),
    "PHP": (".php",),
    "Swift": (".swift",),
    "Elixir": (".ex", ".exs"),
    "Zig": (".zig",),
    "Shell": (".sh", ".bash"),
    "SQL": (".sql",),
    "HTML": (".html", ".htm"),
    "CSS": (".css", ".scss", ".less"),
    "Markdown": (".md", ".markdown"),
    "reStructuredText": (".rst",),
    "YAML": (".yaml", ".yml"),
    "TOML": (".toml",),
    "JSON": (".json",),
}
_BY_SUFFIX = {suffix: language for language, suffixes in _LANGUAGES.items() for suffix in suffixes}
_NOT_CODE = frozenset({"Markdown", "reStructuredText", "YAML", "TOML", "JSON", "HTML", "CSS"})
_LICENCE_NAMES = ("licence", "license", "copying", "unlicense")


def run(given: ToolInput) -> ToolResult:
    """Fill `given.workspace`/source; facts and data describe HEAD, and how the user's working files differ from it."""
    if not given.repo:
        return ToolResult("could_not_run", "the task names no repository")
    repo, source = Path(given.repo), Path(given.workspace, _CLONED)
    if not repo.is_dir():
        return ToolResult("could_not_run", f"there is no folder {checkout.printable(given.repo)}")
    try:
        git(["rev-parse", "--git-dir"], repo)
    except GitError as error:
        return _no_repository(given.repo, error)
    try:
        head = git(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], repo).line
    except GitError:
        return ToolResult("could_not_run", f"{checkout.printable(given.repo)} has no commits")
    try:
        reused = _finished(source)
        if not reused:
            _clone(repo, source, head, _branch(repo))
        return _describe(repo, source, Path(given.scratch), reused)
    except (GitError, TimeoutError, OSError) as error:
        return ToolResult("failed", f"the repository could not be cloned: {error}")


def _no_repository(repo: str, error: GitError) -> ToolResult:
    shown = checkout.printable(repo)
    if error.code == 127:
        return ToolResult("could_not_run", f"could not run: missing git ({error.stderr})")
    return ToolResult("could_not_run", f"{shown} is not a git repository ({error.stderr.splitlines()[0][:200]})")


def _branch(repo: Path) -> str:
    """The branch that HEAD names; "" when it is detached."""
    return git(["symbolic-ref", "--quiet", "--short", "HEAD"], repo, codes=(0, 1)).line


def _finished(source: Path) -> bool:
    """Whether an earlier run completed the clone and nothing in it is broken; what is broken is removed."""
    if not source.exists():
        return False
    try:
        git(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], source)
        git(["diff", "--quiet", "HEAD"], source)
    except (GitError, TimeoutError):
        shutil.rmtree(source)
        return False
    return True


def _clone(repo: Path, source: Path, head: str, branch: str) -> None:
    """Clone `head` under a temporary name, then give it its own name in one step."""
    making = source.with_name(f"{_CLONED}.partial")
    if making.exists():
        shutil.rmtree(making)
    making.mkdir()
    sha256 = ["--object-format=sha256"] if len(head) == 64 else []
    git(["init", "--quiet", "--template=", *sha256, "."], making)
    for name, value in (("core.symlinks", "false"), ("core.hooksPath", "/dev/null"), ("core.autocrlf", "false")):
        git(["config", name, value], making)
    # The commit by its id, since a linked worktree's HEAD is not that of the folder all worktrees share. Tags that
    # point into its history come along.
    reference = f"refs/heads/{branch}" if branch else "refs/troupe/head"
    fetch = ["fetch", "--quiet", "--no-recurse-submodules", "--update-shallow", "--update-head-ok"]
    git([*fetch, str(_common_folder(repo)), f"{head}:{reference}"], making, timeout_s=CLONE_TIMEOUT_S)
    if branch:
        git(["symbolic-ref", "HEAD", reference], making)
    else:
        git(["update-ref", "--no-deref", "HEAD", head], making)
    git(["reset", "--quiet", "--hard", head], making, timeout_s=CLONE_TIMEOUT_S)
    os.replace(making, source)


def _common_folder(repo: Path) -> Path:
    """Where the repository's objects and references are."""
    return repo / os.fsdecode(git(["rev-parse", "--git-common-dir"], repo).stdout.removesuffix(b"\n"))


def _describe(repo: Path, source: Path, scratch: Path, reused: bool) -> ToolResult:
    head = git(["rev-parse", "HEAD"], source).line
    listed = list(checkout.files(source, skip=()))
    languages = _languages(listed)
    names = {file.path for file in listed}
    at_root = sorted(name for name in names if "/" not in name)
    commits = int(git(["rev-list", "--count", "HEAD"], source).line)
    facts: dict[str, Fact] = {
        "head": head,
        "branch": git(["symbolic-ref", "--quiet", "--short", "HEAD"], source, codes=(0, 1)).line,
        "shallow": (source / ".git/shallow").exists(),
        "commits": commits,
        "files": len(listed),
        "primary_language": _primary(listed),
        "licence_file": next((name for name in at_root if name.lower().startswith(_LICENCE_NAMES)), ""),
        "has_readme": any(name.lower().startswith("readme") for name in at_root),
        "last_tag": git(["describe", "--tags", "--abbrev=0"], source, codes=(0, 128)).line,
        "python": "Python" in languages or "pyproject.toml" in names or "setup.py" in names,
        "javascript": "package.json" in names or bool({"JavaScript", "TypeScript"} & languages.keys()),
        "reused": reused,
    }
    difference = working_tree.compare(repo, _common_folder(repo), source, scratch / "compare-index")
    facts |= difference.facts()
    links = sorted(map(checkout.printable, checkout.links(source)))[:LINKS_MAX]
    subject = git(["log", "-1", "--format=%s"], source).line
    data: dict[str, Any] = {"languages": languages, **difference.data(), "links": links, "subject": subject}
    kind = facts["primary_language"] or "no code"
    state = " · shallow" if facts["shallow"] else ""
    state += f" · {difference.summary()}" if difference.summary() else ""
    return ToolResult(
        "ok",
        f"{head[:12]} of {facts['branch'] or 'a detached HEAD'}: {len(listed)} files, {commits} commits, {kind}{state}",
        facts=facts,
        data=data,
    )


def _languages(listed: list[checkout.File]) -> dict[str, int]:
    """Files by language, most first."""
    counted = Counter(_BY_SUFFIX[file.suffix] for file in listed if file.suffix in _BY_SUFFIX)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _primary(listed: list[checkout.File]) -> str:
    """The programming language with the most bytes; "" where there is none."""
    sizes: Counter[str] = Counter()
    for file in listed:
        language = _BY_SUFFIX.get(file.suffix, "")
        if language and language not in _NOT_CODE:
            sizes[language] += file.size
    return max(sizes, key=lambda language: (sizes[language], language), default="")
