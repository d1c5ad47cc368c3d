"""Small git repositories for tests, the same to the byte every time: fixed authors, dates and content.

Each builder fills the folder `path` (made if need be) and returns it. None reads the developer's git configuration.
"""

import hashlib
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.kit import repository_files as content

_AUTHOR = ("Ada Tester", "ada@example.org")
_FIRST_COMMIT_S = 1_704_103_200  # 2024-01-01T10:00:00Z; each commit is one day later
_DAY_S = 86_400


def python_passing(path: Path) -> Path:
    """A Python package whose five tests pass: README, licence, changelog, pinned dependencies, a tag, lint problems."""
    history = _History(path)
    history.commit("feat: count money in cents", content.LICENCE | content.MONEY)
    history.commit("feat: rates by weight and zone", content.RATES)
    history.commit(
        "feat: quote a parcel\n\nThe quote adds the surcharge of remote zones.", content.QUOTES | content.README
    )
    history.commit("test: cover rates and quotes", content.TESTS)
    history.commit("chore: prepare 0.1.0", content.PYPROJECT | content.CHANGELOG)
    history.tag("v0.1.0")
    history.commit("fix: refuse parcels without weight", content.QUOTES_FIXED)
    history.commit("feat: a command line", content.CLI)
    return path


def python_failing(path: Path) -> Path:
    """`python_passing`, and one more commit that breaks one of the five tests (test_remote_zone_costs_more)."""
    python_passing(path)
    _History(path, commits=7).commit("refactor: simplify the surcharge", content.RATES_BROKEN)
    return path


def python_without_tests(path: Path) -> Path:
    """A Python package without tests, licence and changelog."""
    history = _History(path)
    history.commit("Money", content.MONEY)
    history.commit("Rates", content.RATES | {"README.md": "# parcels\n\nPrices for parcels.\n"})
    return path


def javascript(path: Path) -> Path:
    """A Node package without dependencies whose two tests pass under `node --test`."""
    history = _History(path)
    history.commit("feat: slugs", content.LICENCE | content.JAVASCRIPT)
    history.commit("test: cover slugs", content.JAVASCRIPT_TESTS)
    history.tag("v1.0.0")
    return path


def typescript(path: Path) -> Path:
    """A Node package whose test passes, whose type check and lint fail, and whose format is checked and good.

    Its tools are small programs of ours in `node_modules/.bin` (not under version control) that print as tsc, eslint
    and prettier do; they find what the files hold: a text for a number, `var`, `console.log`, a tab.
    """
    history = _History(path)
    history.commit("feat: minutes", content.LICENCE | content.TYPESCRIPT)
    history.tag("v0.3.0")
    history.commit("feat: a clock", content.TYPESCRIPT_CLOCK)
    for name, text in content.NODE_TOOLS.items():
        tool = path / "node_modules/.bin" / name
        tool.parent.mkdir(parents=True, exist_ok=True)
        tool.write_text(text, encoding="utf-8")
        tool.chmod(0o755)
    return path


def empty_one_commit(path: Path) -> Path:
    """One commit without a file."""
    _History(path).commit("Initial commit", {})
    return path


def shallow(path: Path) -> Path:
    """A clone of depth 1 of `python_passing`, which is built beside it as `<name>-origin`."""
    origin = python_passing(path.with_name(f"{path.name}-origin"))
    _git(path.parent, "clone", "--quiet", "--depth", "1", origin.as_uri(), str(path))
    return path


def dirty(path: Path) -> Path:
    """`python_passing` with one file changed, one deleted, one untracked and a staged change of `CHANGELOG.md`."""
    python_passing(path)
    (path / "src/parcels/money.py").write_text("BROKEN = True\n")
    (path / "src/parcels/cli.py").unlink()
    (path / "notes.txt").write_text("not for release\n")
    with (path / "CHANGELOG.md").open("a") as changelog:
        changelog.write("\nStaged, not committed.\n")
    _git(path, "add", "CHANGELOG.md")
    return path


def from_files(path: Path, files: Mapping[str, str], message: str = "Initial commit") -> Path:
    """A repository of one commit with exactly `files` (relative path → text); one beginning with #! is executable."""
    _History(path).commit(message, files)
    return path


def committed(path: Path, message: str) -> Path:
    """`path` with whatever is in it now committed on top of a history of seven commits (`python_passing`)."""
    _History(path, commits=7).commit(message, {})
    return path


def tree_hash(path: Path) -> str:
    """SHA-256 over every path under `path` (`.git` included): names, kinds, modes, link targets and bytes; no times."""
    digest = hashlib.sha256()
    for entry in sorted([path, *path.rglob("*")], key=os.fsencode):
        status = entry.lstat()
        digest.update(os.fsencode(entry.relative_to(path)) + b"\0" + f"{status.st_mode:o}".encode() + b"\0")
        if stat.S_ISLNK(status.st_mode):
            digest.update(os.fsencode(os.readlink(entry)))
        elif stat.S_ISREG(status.st_mode):
            digest.update(hashlib.sha256(entry.read_bytes()).digest())
    return digest.hexdigest()


class _History:
    """Writes commits one day apart into the repository at `path`; initialises it unless there are commits already."""

    def __init__(self, path: Path, commits: int = 0) -> None:
        self._path = path
        self._commits = commits
        if not commits:
            path.mkdir(parents=True, exist_ok=True)
            _git(path, "init", "--quiet", "--initial-branch", "main")

    def commit(self, message: str, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            target = self._path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            target.chmod(0o755 if text.startswith("#!") else 0o644)
        _git(self._path, "add", "--all")
        when = f"{_FIRST_COMMIT_S + self._commits * _DAY_S} +0000"
        _git(self._path, "commit", "--quiet", "--allow-empty", "--message", message, when=when)
        self._commits += 1

    def tag(self, name: str) -> None:
        when = f"{_FIRST_COMMIT_S + self._commits * _DAY_S} +0000"
        _git(self._path, "tag", "--annotate", name, "--message", name, when=when)


def _git(cwd: Path, *args: str, when: str = "") -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": _AUTHOR[0],
        "GIT_AUTHOR_EMAIL": _AUTHOR[1],
        "GIT_COMMITTER_NAME": _AUTHOR[0],
        "GIT_COMMITTER_EMAIL": _AUTHOR[1],
    }
    if when:
        environment |= {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    subprocess.run(["git", *args], cwd=cwd, env=environment, check=True, capture_output=True)
