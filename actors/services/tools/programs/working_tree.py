"""How the user's working files differ from HEAD, found without touching the user's repository.

`git status` there would run the repository's filters and may write its index. This compares through the clone's
metadata with an index of our own, so the repository's filters are not even known; files that have one are named as not
compared.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.services.tools.programs.checkout import printable
from actors.services.tools.programs.git import GitError, git
from protocol.tools import Fact

FILES_NAMED_MAX = 50  # of each kind; all are counted
COMPARE_TIMEOUT_S = 45.0


@dataclass(frozen=True, slots=True)
class Difference:
    """Paths relative to the repository's root. `compared` False: no working files, or `why` they could not be."""

    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    filtered: tuple[str, ...] = ()
    compared: bool = True
    why: str = ""

    def facts(self) -> dict[str, Fact]:
        """`dirty` means that tracked files differ, as `git describe --dirty` means it."""
        return {
            "dirty": bool(self.changed),
            "dirty_files": len(self.changed),
            "untracked_files": len(self.untracked),
            "not_compared": len(self.filtered),
            "compared": self.compared,
        }

    def data(self) -> dict[str, Any]:
        """The first FILES_NAMED_MAX of each kind."""
        named = {"dirty_files": self.changed, "untracked_files": self.untracked, "not_compared": self.filtered}
        return {kind: [printable(path) for path in paths[:FILES_NAMED_MAX]] for kind, paths in named.items()}

    def summary(self) -> str:
        """What a person should know; "" when the working files are those of HEAD."""
        said: list[str] = []
        if self.changed:
            said.append(f"{len(self.changed)} files changed and not committed (not reviewed)")
        if self.filtered:
            said.append(f"{len(self.filtered)} files have a filter and were not compared")
        return " · ".join([*said, *([self.why] if self.why else [])])


def compare(repo: Path, common: Path, source: Path, index: Path) -> Difference:
    """Compare the working files of `repo` with the clone's HEAD. `common` is the repository's folder of metadata."""
    try:
        if git(["rev-parse", "--is-inside-work-tree"], repo).line != "true":
            return Difference(compared=False)
        shown = git(["rev-parse", "--show-toplevel"], repo).stdout.removesuffix(b"\n")
        return _compare(repo, Path(os.fsdecode(shown)), common, source, index)
    except (GitError, TimeoutError) as error:
        return Difference(compared=False, why=f"working files not compared with HEAD: {error}")


def _compare(repo: Path, top: Path, common: Path, source: Path, index: Path) -> Difference:
    env = {"GIT_DIR": str(source / ".git"), "GIT_WORK_TREE": str(top), "GIT_INDEX_FILE": str(index)}
    # How the user's git reads these files; plain settings, none of which can name a command.
    config = ["core.symlinks=true", *(f"{name}={_setting(repo, name, old)}" for name, old in _READING.items())]

    def ask(*args: str, stdin: bytes = b"", codes: tuple[int, ...] = (0,)) -> list[str]:
        return git(args, top, env=env, config=config, stdin=stdin, codes=codes, timeout_s=COMPARE_TIMEOUT_S).parts()

    ask("read-tree", "HEAD")
    ask("update-index", "-q", "--refresh", "--ignore-submodules", codes=(0, 1))
    # Asking a submodule would run git in it, under its own configuration.
    fields = ask("diff-files", "--name-status", "--no-renames", "--ignore-submodules=all", "-z")
    sparse = _setting(repo, "core.sparseCheckout", "false") == "true"
    states = zip(fields[::2], fields[1::2], strict=True)
    changed = [path for state, path in states if not (sparse and state == "D")]
    filtered = set(_with_filter(ask, changed))
    exclude = common / "info/exclude"
    excludes = [f"--exclude-from={exclude}"] if exclude.is_file() else []
    untracked = ask(
        "ls-files", "--others", "--directory", "--no-empty-directory", "--exclude-standard", *excludes, "-z"
    )
    return Difference(
        tuple(path for path in changed if path not in filtered), tuple(untracked), tuple(sorted(filtered))
    )


_READING = {"core.fileMode": "true", "core.autocrlf": "false", "core.ignoreCase": "false"}  # name → default


def _setting(repo: Path, name: str, default: str) -> str:
    """A setting of the user's repository if it is one of the plain words these have."""
    value = git(["config", "--get", name], repo, codes=(0, 1)).line.lower()
    return value if value in ("true", "false", "input") else default


def _with_filter(ask: Any, paths: list[str]) -> list[str]:
    if not paths:
        return []
    stdin = b"".join(os.fsencode(path) + b"\0" for path in paths)
    fields: list[str] = ask("check-attr", "-z", "--stdin", "filter", stdin=stdin)
    return [
        path for path, value in zip(fields[::3], fields[2::3], strict=True) if value not in ("unspecified", "unset")
    ]
