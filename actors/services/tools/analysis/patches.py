"""Patches, checked by applying them: into an index and object store of their own, so that the clone is not written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.services.tools.programs.git import GitError, git

FORMAT = (
    "--stdout",
    "--no-signature",
    "--no-renames",
    "--binary",
    "--full-index",
    "--no-color",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)
"""Options of format-patch that make a patch apply wherever its base is: no renames to guess, no binary left out."""

_MESSAGE_START = re.compile(rb"^From [0-9a-f]{40,64} Mon Sep 17 00:00:00 2001\n", re.MULTILINE)
_SUBJECT = re.compile(rb"^Subject: (?:\[PATCH[^\]]*\] )?(.*)$", re.MULTILINE)


class PatchRefused(Exception):
    """The patch does not apply to the commit; the text says what git said."""


@dataclass(frozen=True, slots=True)
class Part:
    """One commit of a mailbox of patches."""

    subject: str
    content: bytes


def parts(patch: bytes) -> list[Part]:
    """The commits of a mailbox by format-patch, in order; a bare difference is one part without a subject.

    Lines of a difference begin with a blank, a sign or a keyword of git, so none passes for the start of a commit.
    """
    starts = [match.start() for match in _MESSAGE_START.finditer(patch)]
    if not starts or starts[0] != 0:
        return [Part("", patch)] if patch.strip() else []
    found: list[Part] = []
    for start, end in zip(starts, [*starts[1:], len(patch)], strict=True):
        subject = _SUBJECT.search(patch[start:end])
        found.append(Part(subject[1].decode("utf-8", "replace") if subject else "", patch[start:end]))
    return found


class Shelf:
    """The state of a commit in an index of its own under `scratch`, onto which patches are applied one after another.

    Objects that arise are stored beside that index; the clone at `source` lends its own and stays as it is.
    """

    def __init__(self, source: str | Path, scratch: str | Path, commit: str = "HEAD") -> None:
        self._source = Path(source)
        folder = Path(scratch, "shelf")
        (folder / "objects").mkdir(parents=True, exist_ok=True)
        objects = git(["rev-parse", "--git-path", "objects"], self._source).line
        self._env = {
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((self._source / objects).resolve()),
        }
        git(["read-tree", commit], self._source, env=self._env)

    def apply(self, patch: bytes) -> None:
        """Apply a patch to the state. Raises PatchRefused, with the state as it was, when it does not fit."""
        try:
            git(["apply", "--cached", "--whitespace=nowarn", "-"], self._source, env=self._env, stdin=patch)
        except GitError as error:
            raise PatchRefused(error.stderr or str(error)) from error

    def tree(self) -> str:
        """The hash of the state as a tree."""
        return git(["write-tree"], self._source, env=self._env).line

    def read(self, tree: str, path: str, bytes_max: int) -> str | None:
        """The text of a file of a tree; None when it is not there, is larger than `bytes_max` or holds a NUL."""
        name = f"{tree}:{path}"
        size = git(["cat-file", "-s", name], self._source, env=self._env, codes=(0, 128))
        if size.code or int(size.line) > bytes_max:
            return None
        content = git(["cat-file", "blob", name], self._source, env=self._env, codes=(0, 128))
        return None if content.code or b"\0" in content.stdout else content.text

    def changed(self, before: str, after: str) -> Sequence[str]:
        """The paths that differ between two trees, sorted."""
        listed = git(
            ["diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after], self._source, env=self._env
        )
        return sorted(listed.parts())

    def counts(self, before: str, after: str) -> tuple[int, int]:
        """Lines added and removed between two trees; binary files count as none."""
        args = ["diff-tree", "-r", "-z", "--numstat", "--no-renames", before, after]
        listed = git(args, self._source, env=self._env)
        added = removed = 0
        for entry in listed.parts():
            plus, minus, _ = entry.split("\t", 2)
            added += int(plus) if plus.isdigit() else 0
            removed += int(minus) if minus.isdigit() else 0
        return added, removed
