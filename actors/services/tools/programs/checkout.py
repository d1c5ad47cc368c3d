"""Reading a checkout safely: regular files inside the tree only, in a fixed order, each read bounded.

Symbolic links are never followed, neither real ones nor those that the isolated clone holds as plain files (it is
checked out with core.symlinks=false, so a link is a small file that contains its target).
"""

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.services.tools.programs.git import GitError, git

FILES_MAX = 50_000  # of one checkout; what is beyond is not looked at
TEXT_BYTES_MAX = 1_000_000  # a larger file is not source that people wrote
BINARY_PROBE_BYTES = 8_192  # a NUL in the first of these means binary, as git decides it

VENDORED = frozenset(
    {"node_modules", ".venv", "venv", ".tox", ".nox", "__pycache__", "site-packages", "bower_components"}
)


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of the checkout: `path` is relative and POSIX, fit for reports; `location` is where to read it."""

    path: str
    location: Path
    size: int  # bytes
    executable: bool

    @property
    def suffix(self) -> str:
        """The lower-case suffix with its dot, "" where there is none."""
        return self.location.suffix.lower()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class TextFile(File):
    """A file whose content is text; bytes that are not UTF-8 became the replacement character."""

    text: str


def files(root: str | Path, *, skip: Collection[str] = VENDORED) -> Iterator[File]:
    """Every regular file under `root` sorted by path, without `.git` and folders named in `skip`; at most FILES_MAX."""
    base = Path(root)
    tracked_links = links(base)
    yielded = 0
    for folder, folders, names in os.walk(base, followlinks=False):
        # Sorting in place makes os.walk descend in that order, so reports of the same commit are the same.
        folders[:] = sorted(name for name in folders if name != ".git" and name not in skip)
        for name in sorted(names):
            location = Path(folder, name)
            relative = location.relative_to(base).as_posix()
            status = _regular(location)
            if status is None or relative in tracked_links or relative == ".git":
                continue
            if yielded == FILES_MAX:
                return
            yielded += 1
            yield File(printable(relative), location, status.st_size, bool(status.st_mode & stat.S_IXUSR))


def text_files(
    root: str | Path,
    *,
    suffixes: Collection[str] = (),
    skip: Collection[str] = VENDORED,
    bytes_max: int = TEXT_BYTES_MAX,
) -> Iterator[TextFile]:
    """The text among `files(root)`: at most `bytes_max`, not binary, with one of `suffixes` (".py") if any given."""
    for file in files(root, skip=skip):
        if not suffixes or file.suffix in suffixes:
            text = text_of(file, bytes_max=bytes_max)
            if text is not None:
                yield text


def text_of(file: File, *, bytes_max: int = TEXT_BYTES_MAX) -> TextFile | None:
    """The file with its text; None if it is binary or larger than `bytes_max`."""
    text = _text(file.location, bytes_max) if file.size <= bytes_max else None
    return None if text is None else TextFile(file.path, file.location, file.size, file.executable, text)


def read_text(root: str | Path, relative: str, *, bytes_max: int = TEXT_BYTES_MAX) -> str | None:
    """The text of one file by its relative path; None if missing, a link, outside the tree, binary or too large."""
    base = Path(root).resolve()
    location = base / relative
    if not location.resolve().is_relative_to(base):
        return None
    status = _regular(location)
    return _text(location, bytes_max) if status is not None and status.st_size <= bytes_max else None


def links(base: Path) -> frozenset[str]:
    """Paths that are links (120000) in the index of the clone; empty where `base` is no checkout of its own."""
    if not (base / ".git").exists():
        return frozenset()
    try:
        listed = git(["ls-files", "--stage", "-z"], base).parts()
    except (GitError, TimeoutError):
        return frozenset()  # A folder that only looks like a checkout: its real links are skipped all the same.
    return frozenset(entry.partition("\t")[2] for entry in listed if entry.startswith("120000 "))


def printable(path: str) -> str:
    """`path` as valid Unicode: names that are not UTF-8 cannot travel in JSON."""
    return os.fsencode(path).decode("utf-8", "replace")


def _regular(location: Path) -> os.stat_result | None:
    try:
        status = location.lstat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _text(location: Path, bytes_max: int) -> str | None:
    try:
        # O_NOFOLLOW and O_NONBLOCK: even a file swapped for a link or a FIFO after the look cannot mislead or hang us.
        descriptor = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = opened.read(bytes_max + 1)
    if len(content) > bytes_max or b"\0" in content[:BINARY_PROBE_BYTES]:
        return None
    return content.decode("utf-8", "replace")
