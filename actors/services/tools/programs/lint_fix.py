"""lint.fix: safe lint fixes and formatting, as a patch of two commits on a branch of the clone.

The branch is checked out as a worktree in `<workspace>/developer`, apart from the clone's own files; what an earlier,
interrupted run left there is removed first. The patch is applied to HEAD again in an index of its own before anybody
sees it, and the fact `patch_applies` says whether that gave the branch's very tree. Findings are the problems left on
the branch, with its line numbers.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.services.tools.analysis import linting, patches
from actors.services.tools.analysis.findings import bounded, finding, noun, severity_facts
from actors.services.tools.analysis.sources import PYTHON_SUFFIXES
from actors.services.tools.programs.checkout import TEXT_BYTES_MAX, files
from actors.services.tools.programs.git import GitError, git
from protocol.tools import Fact, Finding, ProducedFile, ToolInput, ToolResult

BRANCHES = ("troupe/lint-fixes", "troupe-lint-fixes")  # the second where the repository's names forbid the first
PATCH_PATH = "developer.patch"
PATCH_BYTES_MAX = 4_000_000  # A larger one is offered without its formatting commit, never cut in the middle.
LINT_SUBJECT = "Apply safe lint fixes"
FORMAT_SUBJECT = "Format the code"

_SERIOUS = ("F63", "F7", "F82", "E9", "syntax")  # fails or misleads when run; the rest is care
_LINK = "120000"
_READ_BY_RUFF = (*PYTHON_SUFFIXES, ".ipynb")


@dataclass(frozen=True, slots=True)
class _Work:
    """What ruff did: problems before and after, the commits made, and whether every file could be formatted."""

    settings: linting.Settings
    before: Sequence[linting.Problem]
    fixed: int
    after: Sequence[linting.Problem]  # on the branch: with fixes and formatting
    lint_commit: str  # "" when nothing was fixed
    format_commit: str  # "" when nothing was formatted
    all_formatted: bool
    passed_over: int  # files too large for ruff


def run(given: ToolInput) -> ToolResult:
    """Fix, format, commit, and check the patch. Not applicable without Python files or without a commit."""
    if not any(file.suffix in PYTHON_SUFFIXES for file in files(given.source)):
        return ToolResult("not_applicable", "no Python files: the lint fixes and the formatter are for Python")
    try:
        version = linting.version()
    except linting.RuffFailed as error:
        return ToolResult("could_not_run", f"missing: ruff ({error})")
    try:
        source = Path(given.source)
        branch = _branch(source)
        worktree = _fresh_worktree(source, Path(given.workspace, "developer"))
        work = _work(worktree, given.at, version)
        _set_branch(worktree, branch)
        return _result(given, work, branch, version)
    except TimeoutError as error:
        return ToolResult("failed", f"{error}; no patch was made")
    except (GitError, linting.RuffFailed) as error:
        return ToolResult("failed", f"no patch was made: {error}")


def _fresh_worktree(source: Path, worktree: Path) -> Path:
    git(["worktree", "remove", "--force", "--force", str(worktree)], source, codes=(0, 128))
    if worktree.is_symlink() or worktree.is_file():
        worktree.unlink()
    elif worktree.exists():
        shutil.rmtree(worktree)
    git(["worktree", "prune"], source)
    # Detached: the branch is set when the work is done, so it never names half of it.
    add = ["worktree", "add", "--force", "--quiet", "--detach", str(worktree), "HEAD"]
    git(add, source, config=_no_filters(source))
    return worktree


def _set_branch(worktree: Path, branch: str) -> None:
    # Nobody else writes this branch: a lock on it is what a killed run left behind.
    lock = git(["rev-parse", "--git-path", f"refs/heads/{branch}.lock"], worktree).line
    (worktree / lock).unlink(missing_ok=True)
    git(["update-ref", f"refs/heads/{branch}", "HEAD"], worktree)
    git(["symbolic-ref", "HEAD", f"refs/heads/{branch}"], worktree)


def _branch(source: Path) -> str:
    """The first of BRANCHES that can exist here: not checked out, and no part of it a branch itself."""
    taken = set(git(["for-each-ref", "--format=%(refname:short)", "refs/heads"], source).text.splitlines())
    current = git(["symbolic-ref", "--quiet", "--short", "HEAD"], source, codes=(0, 1)).line
    for branch in BRANCHES:
        if branch != current and branch.partition("/")[0] not in taken - {branch}:
            return branch
    raise GitError(["worktree"], 1, f"the repository uses the branch names {' and '.join(BRANCHES)} itself")


def _work(worktree: Path, at: str, version: str) -> _Work:
    hidden, passed_over = _hide(worktree)
    using = linting.settings(worktree)
    try:
        before = linting.problems(worktree, using)
    except linting.RuffFailed as error:
        if using.origin == "defaults":
            raise
        using = linting.fallback(worktree, error)
        before = linting.problems(worktree, using)
    linting.fix(worktree, using)
    fixed = len(before) - len(linting.problems(worktree, using))
    lint_commit = _commit(worktree, hidden, f"{LINT_SUBJECT}\n\nBy ruff {version}, the fixes it calls safe.", at)
    _hide(worktree)
    all_formatted = linting.reformat(worktree, using)
    after = linting.problems(worktree, using)
    format_commit = _commit(worktree, hidden, f"{FORMAT_SUBJECT}\n\nBy ruff {version}. Layout only.", at)
    return _Work(using, before, max(0, fixed), after, lint_commit, format_commit, all_formatted, passed_over)


def _hide(worktree: Path) -> tuple[list[str], int]:
    """Remove what ruff must not see while it looks, and name it, so that it comes back; how many were too large.

    Links among the Python files are small files with a target in them. A source file of many megabytes is generated,
    and ruff takes fifty times its size in memory: one such file would cost all others their fixes.
    """
    listed = [entry.partition("\t") for entry in git(["ls-files", "--stage", "-z"], worktree).parts()]
    links = [path for mode, _, path in listed if mode.startswith(_LINK)]
    large = [path for mode, _, path in listed if not mode.startswith(_LINK) and _too_large(worktree / path)]
    for path in (*links, *large):
        (worktree / path).unlink(missing_ok=True)
    return [*links, *large], len(large)


def _too_large(path: Path) -> bool:
    return path.suffix.lower() in _READ_BY_RUFF and path.is_file() and path.stat().st_size > TEXT_BYTES_MAX


def _commit(worktree: Path, hidden: Sequence[str], message: str, at: str) -> str:
    """Commit what changed in tracked files; the commit's hash, or "" when nothing did."""
    config = _no_filters(worktree)
    if hidden:
        restore = ["checkout", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"]
        git(restore, worktree, config=config, stdin=_nul(hidden), env={"GIT_LITERAL_PATHSPECS": "1"})
    git(["add", "--update", "."], worktree, config=config)
    if git(["diff-index", "--cached", "--quiet", "HEAD"], worktree, config=config, codes=(0, 1)).code == 0:
        return ""
    dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
    git(["commit", "--quiet", "--no-verify", "--message", message], worktree, config=config, env=dates)
    return git(["rev-parse", "HEAD"], worktree).line


def _no_filters(repository: Path) -> list[str]:
    """Settings that empty every filter the clone's configuration names: a fresh clone has none, and none may run."""
    names = git(
        ["config", "--local", "--name-only", "-z", "--get-regexp", r"^filter\."], repository, codes=(0, 1)
    ).parts()
    if any("=" in name for name in names):
        raise GitError(["config"], 1, "the clone has a filter with a = in its name, which cannot be switched off")
    return [f"{name}=false" if name.endswith(".required") else f"{name}=" for name in names]


def _nul(paths: Sequence[str]) -> bytes:
    return b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)


def _result(given: ToolInput, work: _Work, branch: str, version: str) -> ToolResult:
    head = git(["rev-parse", "HEAD"], given.source).line
    offered, left_out = work.format_commit or work.lint_commit or head, ""
    patch = _patch(given.source, head, offered)
    if len(patch) > PATCH_BYTES_MAX:
        size = len(patch)
        offered = work.lint_commit or head
        patch, left_out = _patch(given.source, head, offered), f"the formatting commit ({size} bytes in all)"
        if len(patch) > PATCH_BYTES_MAX:
            patch, offered, left_out = b"", head, f"both commits ({size} bytes)"
    applies, changed, added, removed = _verify(given, patch, head, offered)
    findings = [_remaining(problem) for problem in work.after]
    facts: dict[str, Fact] = {
        "files_changed": changed,
        "insertions": added,
        "deletions": removed,
        "problems_before": len(work.before),
        "fixes_applied": work.fixed,
        "remaining_problems": len(work.after),
        "commits": len(patches.parts(patch)),
        "patch_bytes": len(patch),
        "patch_complete": not left_out,
        "formatted_all": work.all_formatted,
        "files_too_large": work.passed_over,
        "settings": work.settings.origin,
        "ruff_version": version,
        "branch": branch,
    }
    if patch:
        facts["patch_applies"] = applies
    if patch and not applies:
        return ToolResult(
            "failed", "the patch does not give the branch's tree when applied to HEAD; it is withheld", facts
        )
    return ToolResult(
        "ok",
        _summary(work, changed, branch, left_out),
        facts=facts | severity_facts(findings),
        findings=bounded(findings),
        files=(ProducedFile(PATCH_PATH, "text/x-diff", patch),) if patch else (),
        data={
            "head": head,
            "lint_commit": work.lint_commit,
            "format_commit": work.format_commit,
            "settings_note": work.settings.note,
            "left_out": left_out,
        },
    )


def _patch(source: str, head: str, end: str) -> bytes:
    return git(["format-patch", *patches.FORMAT, f"{head}..{end}"], source).stdout if end != head else b""


def _verify(given: ToolInput, patch: bytes, head: str, end: str) -> tuple[bool, int, int, int]:
    """Whether the patch applied to HEAD gives the tree of `end`; files changed, lines added and removed by it."""
    if not patch:
        return True, 0, 0, 0
    shelf = patches.Shelf(given.source, given.scratch, head)
    before = shelf.tree()
    try:
        for part in patches.parts(patch):
            shelf.apply(part.content)
    except patches.PatchRefused:
        return False, 0, 0, 0
    after = shelf.tree()
    expected = git(["rev-parse", f"{end}^{{tree}}"], given.source).line
    return after == expected, len(shelf.changed(before, after)), *shelf.counts(before, after)


def _remaining(problem: linting.Problem) -> Finding:
    serious = problem.rule.startswith(_SERIOUS)
    return finding("medium" if serious else "low", problem.rule, problem.message, problem.path, problem.line)


def _summary(work: _Work, changed: int, branch: str, left_out: str) -> str:
    said = [
        f"{noun(work.fixed, 'problem')} fixed, {len(work.after)} left on the branch",
        f"{noun(changed, 'file')} changed by the patch" if changed or left_out else "nothing to change",
    ]
    if work.settings.note:
        said.append(f"with ruff's defaults, since {work.settings.note}")
    if not work.all_formatted:
        said.append("some files do not parse and are not formatted")
    if work.passed_over:
        said.append(f"{noun(work.passed_over, 'file')} above {TEXT_BYTES_MAX / 1e6:g} MB not looked at")
    if left_out:
        said.append(f"the patch is too large and leaves out {left_out}; it is on the branch {branch}")
    return "; ".join(said)
