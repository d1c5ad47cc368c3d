"""The history as people wrote it: commits and the version tags they follow."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.services.tools.analysis.findings import clean
from actors.services.tools.programs.git import GitError, git

COMMITS_MAX = 500  # of one reading
BODY_CHARS_MAX = 4_000  # of one message; footers stand at its end, and a longer one is a copied discussion

_VERSION = re.compile(
    r"^(?:[A-Za-z][\w.]*[-_/@])?[vV]?(?P<major>\d{1,6})\.(?P<minor>\d{1,6})(?:\.(?P<patch>\d{1,6}))?"
    r"(?:[-.]?(?P<pre>(?:alpha|beta|a|b|rc|dev|pre|preview)[-.]?\d*(?:\.\d+)*))?(?:\+[\w.]+)?$"
)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version as its tag says it. Ordered as semantic versioning does: a pre-release comes before its release."""

    major: int
    minor: int
    patch: int
    released: bool  # False for a pre-release, so that it sorts first
    pre: str = ""

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}" + (f"-{self.pre}" if self.pre else "")


@dataclass(frozen=True, slots=True)
class LoggedCommit:
    """One commit: hash, subject and body, the day of its author (YYYY-MM-DD)."""

    hash: str
    day: str
    subject: str
    body: str
    merge: bool


@dataclass(frozen=True, slots=True)
class Log:
    """Commits, the newest first. `more` when the bound cut them, `shallow` when the clone lacks older ones."""

    commits: Sequence[LoggedCommit]
    more: bool
    shallow: bool


def parse_version(tag: str) -> Version | None:
    """The version a tag or heading names ("v1.2", "pkg-1.2.3-rc.1"); None when it names none."""
    match = _VERSION.match(tag.strip())
    if match is None:
        return None
    pre = match["pre"] or ""
    return Version(int(match["major"]), int(match["minor"]), int(match["patch"] or 0), not pre, pre)


def last_version(source: str | Path) -> tuple[str, Version] | None:
    """The highest version among the tags that HEAD contains, with its tag; None when no tag names one."""
    try:
        tags = git(["tag", "--list", "--merged", "HEAD"], source).text.splitlines()
    except GitError:
        return None  # Without a commit there is nothing to be contained in.
    named = [(version, tag) for tag in tags if (version := parse_version(tag)) is not None]
    if not named:
        return None
    version, tag = max(named)
    return tag, version


def log(source: str | Path, since: str = "") -> Log:
    """The commits since a tag ("" for all), COMMITS_MAX at most. Raises GitError where there is no commit."""
    reach = f"refs/tags/{since}..HEAD" if since else "HEAD"
    form = "--format=%H%x01%P%x01%as%x01%s%x01%b%x00"
    text = git(["log", "--topo-order", f"--max-count={COMMITS_MAX + 1}", form, reach], source).text
    commits: list[LoggedCommit] = []
    for entry in text.split("\0"):
        fields = entry.lstrip("\n").split("\x01", 4)
        if len(fields) == 5:
            body = fields[4].strip()[-BODY_CHARS_MAX:]
            commits.append(LoggedCommit(fields[0], fields[2], clean(fields[3]), body, " " in fields[1].strip()))
    shallow = git(["rev-parse", "--is-shallow-repository"], source).line == "true"
    return Log(commits[:COMMITS_MAX], len(commits) > COMMITS_MAX, shallow)
