"""What a commit changed: files and, for each, the lines it added by their numbers on the new side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.services.tools.analysis.sources import is_generated
from actors.services.tools.programs.checkout import printable
from actors.services.tools.programs.git import GitError, git

READ_FILES_MAX = 400  # whose added lines are read; of a larger change the rest is counted only
READ_LINES_MAX = 5_000  # added to one file; a larger addition is data or a copy, and is counted only

_HUNK = re.compile(rb"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of a change. `added` maps line numbers of the new side to text, empty when the lines were not read."""

    path: str
    status: str  # A added, M modified, D deleted, R renamed, T changed its kind
    plus: int
    minus: int
    binary: bool
    size: int  # bytes of the new side, 0 when deleted
    added: Mapping[int, str] = field(default_factory=dict[int, str])


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's identity and message. `parents` are those the clone has; `cut`: a shallow clone hides some."""

    hash: str
    subject: str
    body: str
    parents: Sequence[str]
    cut: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A commit and its files, against its first parent (a merge: what it brought in) or against nothing (the first)."""

    commit: Commit
    files: Sequence[ChangedFile]
    unread: int  # files whose added lines were not read

    @property
    def known(self) -> bool:
        """False when a shallow clone hides what the commit is to be compared with; then there are no files."""
        return bool(self.commit.parents) or not self.commit.cut

    @property
    def insertions(self) -> int:
        """Lines added in all files."""
        return sum(file.plus for file in self.files)

    @property
    def deletions(self) -> int:
        """Lines removed in all files."""
        return sum(file.minus for file in self.files)


def last_commit(source: str | Path) -> Commit:
    """The commit at HEAD. Raises GitError when there is none."""
    shown = git(["rev-list", "--parents", "--max-count=1", "HEAD"], source).line.split()
    message = git(["show", "--no-patch", "--format=%B", "HEAD"], source).text.strip("\n")
    subject, _, body = message.partition("\n")
    # The object names its parents even where the clone is cut off and rev-list shows none.
    header = git(["cat-file", "commit", "HEAD"], source).stdout.partition(b"\n\n")[0]
    named = sum(line.startswith(b"parent ") for line in header.split(b"\n"))
    return Commit(shown[0], subject.strip(), body.strip(), shown[1:], cut=named > len(shown) - 1)


def last_change(source: str | Path) -> Change:
    """The change that the commit at HEAD made; without files where a shallow clone hides what to compare it with."""
    commit = last_commit(source)
    if commit.cut and not commit.parents:
        return Change(commit, (), 0)
    empty = git(["hash-object", "-t", "tree", "--stdin"], source).line
    return between(source, commit, commit.parents[0] if commit.parents else empty)


def between(source: str | Path, commit: Commit, base: str) -> Change:
    """The change from the tree or commit `base` to `commit`. Raises GitError."""
    statuses = _statuses(git(["diff-tree", "-r", "-M", "--raw", "-z", base, commit.hash], source).stdout)
    numbers = _numbers(git(["diff-tree", "-r", "-M", "--numstat", "-z", base, commit.hash], source).stdout)
    sizes = _sizes(source, [blob for _, _, blob in statuses.values()])
    readable = [
        path
        for path, (plus, _, binary) in numbers.items()
        if 0 < plus <= READ_LINES_MAX and not binary and path in statuses and not is_generated(_shown(path))
    ][:READ_FILES_MAX]
    added = _added_lines(source, base, commit.hash, readable, statuses)
    files: list[ChangedFile] = []
    for path, (status, _, blob) in sorted(statuses.items()):
        plus, minus, binary = numbers.get(path, (0, 0, False))
        files.append(ChangedFile(_shown(path), status, plus, minus, binary, sizes.get(blob, 0), added.get(path, {})))
    unread = sum(1 for path, (plus, _, binary) in numbers.items() if plus and not binary and path not in added)
    return Change(commit, files, unread)


def _statuses(raw: bytes) -> dict[bytes, tuple[str, bytes, bytes]]:
    """New path → (status letter, old path, new blob), from `--raw -z`."""
    found: dict[bytes, tuple[str, bytes, bytes]] = {}
    fields = raw.split(b"\0")
    position = 0
    while position < len(fields) and fields[position].startswith(b":"):
        meta = fields[position].split(b" ")
        status = meta[4].decode()[:1]
        old = fields[position + 1]
        renamed = status in ("R", "C")
        new = fields[position + 2] if renamed else old
        found[new] = (status, old, meta[3])
        position += 3 if renamed else 2
    return found


def _numbers(raw: bytes) -> dict[bytes, tuple[int, int, bool]]:
    """New path → (lines added, lines removed, binary), from `--numstat -z`."""
    found: dict[bytes, tuple[int, int, bool]] = {}
    fields = raw.split(b"\0")
    position = 0
    while position < len(fields) and fields[position]:
        plus, minus, path = fields[position].split(b"\t", 2)
        if not path:  # a rename: old and new path follow as fields of their own
            path = fields[position + 2]
            position += 2
        binary = plus == b"-"
        found[path] = (0, 0, True) if binary else (int(plus), int(minus), False)
        position += 1
    return found


def _sizes(source: str | Path, blobs: Sequence[bytes]) -> dict[bytes, int]:
    wanted = b"".join(blob + b"\n" for blob in blobs if blob.strip(b"0"))
    if not wanted:
        return {}
    listed = git(["cat-file", "--batch-check=%(objectname) %(objectsize)"], source, stdin=wanted).stdout
    rows = (line.split(b" ") for line in listed.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _added_lines(
    source: str | Path,
    base: str,
    head: str,
    paths: Sequence[bytes],
    statuses: Mapping[bytes, tuple[str, bytes, bytes]],
) -> dict[bytes, dict[int, str]]:
    """New path → {line number: text} of the lines added to each of `paths`; a git call for each."""
    found: dict[bytes, dict[int, str]] = {}
    for path in paths:
        # A file at a time: then no header with a strangely quoted name has to be understood.
        names = sorted({path, statuses[path][1]})
        try:
            patch = git(
                ["diff-tree", "-r", "-M", "-p", "--unified=0", "--no-color", base, head, "--", *_named(names)],
                source,
                env={"GIT_LITERAL_PATHSPECS": "1"},
            ).stdout
        except GitError:
            continue  # Counted as unread: the report says how many files were not looked into.
        found[path] = added_lines(patch)
    return found


def added_lines(patch: bytes) -> dict[int, str]:
    """{line number on the new side: text} of a difference of one file. Hunks are read by their counts, not by looks."""
    found: dict[int, str] = {}
    lines = patch.split(b"\n")
    position = 0
    while position < len(lines):
        hunk = _HUNK.match(lines[position])
        position += 1
        if hunk is None:
            continue
        removed = int(hunk[1]) if hunk[1] is not None else 1
        number, new = int(hunk[2]), int(hunk[3]) if hunk[3] is not None else 1
        while position < len(lines) and (removed > 0 or new > 0):
            line = lines[position]
            position += 1
            if line.startswith(b"+"):
                found[number] = line[1:].rstrip(b"\r").decode("utf-8", "replace")
                number, new = number + 1, new - 1
            elif line.startswith(b"-"):
                removed -= 1
            elif line.startswith(b" "):
                number, new, removed = number + 1, new - 1, removed - 1
    return found


def _named(paths: Sequence[bytes]) -> list[str]:
    return [path.decode("utf-8", "surrogateescape") for path in paths]


def _shown(path: bytes) -> str:
    return printable(path.decode("utf-8", "surrogateescape"))
